"""What a job config may ask of the batch container: real processes on the small model."""

import codecs
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from batch.job_options import FetchOptions
from server.certificates import Authority
from server.commands import transcriber as transcriber_command
from server.speechmatics import audio
from server.speechmatics.config import FetchData
from server.speechmatics.options import TranscriberOptions
from tests.conftest import ROOT, SPEECH
from tests.file_site import Silent, site
from tests.sounds import media
from tests.transcriber_rigs import (
    HELLO,
    config,
    document,
    environment,
    pcm,
    text,
    transcriber,
    wav,
    words,
)

# ---- where audio comes from


def test_a_file_may_be_named_in_the_job(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", fetch_data={"url": f"file://{HELLO}"})
    assert text(document(transcriber("--job-config", job))) == "Hello, good morning."


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("adts", "aac", 16_000),
        ("mov", "aac", 48_000),
        ("ipod", "aac", 44_100),
        ("mpeg", "mp2", 48_000),
        ("amr", "libopencore_amrnb", 8000),
    ],
)
def test_the_type_of_other_files_is_found_in_the_data(
    container: str, codec: str, rate: int
) -> None:
    speech = soxr.resample(pcm("hello").astype(np.float32) / np.float32(32768), 16_000, rate)
    told = document(transcriber(audio=media(speech[:, None], rate, container, codec)))
    assert text(told) == "Hello, good morning."


# The container's own places, which a test cannot write to, are put elsewhere.
MOUNTED = """
import sys
from pathlib import Path
from server.__main__ import main
from server.commands import transcriber
from server.speechmatics import audio
audio.INPUT, transcriber.CONFIG = map(Path, sys.argv[1:3])
sys.exit(main(["transcriber", *sys.argv[3:]]))
"""


def test_audio_and_config_may_be_mounted_and_the_argument_counts_first(tmp_path: Path) -> None:
    mounted = config(tmp_path / "config.json", {"punctuation_overrides": {"permitted_marks": []}})
    named = config(tmp_path / "named.json")

    def ran(*arguments: str | Path) -> str:
        command = [sys.executable, "-c", MOUNTED, HELLO, mounted, *arguments]
        options: dict[str, Any] = {"env": environment(), "cwd": ROOT, "timeout": 60}
        return text(document(subprocess.run(command, input=b"", capture_output=True, **options)))

    assert ran() == "Hello good morning"
    assert ran("--job-config", named) == "Hello, good morning."


def test_more_workers_than_cores_are_cut_to_them() -> None:
    cores = len(os.sched_getaffinity(0))
    assert transcriber_command._flags(["--parallel", "1"]).parallel == 1
    assert transcriber_command._flags(["-parallel", "999"]).parallel <= cores


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", fetch_data={"url": f"file://{tmp_path}/none.wav"})
    ran = transcriber("--job-config", job)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"unable to fetch audio: there is no file" in ran.stderr


class Audio(Silent):
    """Sends files to those with the right header."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's
        if self.headers.get("X-Key") != "secret":
            self.send_error(403)
            return
        super().do_GET()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with site(SPEECH, Audio) as origin:
        yield f"{origin}/hello.wav"


def test_audio_may_be_fetched(tmp_path: Path, address: str) -> None:
    fetch = {"url": address, "auth_headers": ["X-Key: secret"]}
    job = config(tmp_path / "job.json", fetch_data=fetch)
    ran = transcriber("--job-config", job, STENTOR_FETCH__ALLOW_PRIVATE="true")
    assert text(document(ran)) == "Hello, good morning."


def test_audio_may_be_fetched_with_tls(tmp_path: Path) -> None:
    authority = Authority.of(tmp_path)
    for name, data in zip(("cert", "key"), authority.issue(["127.0.0.1"], 1), strict=True):
        (tmp_path / f"{name}.pem").write_bytes(data)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    private = {"STENTOR_FETCH__ALLOW_PRIVATE": "true"}
    with site(SPEECH, Audio, tls) as origin:
        fetch = {"url": f"{origin}/hello.wav", "auth_headers": ["X-Key: secret"]}
        job = config(tmp_path / "job.json", fetch_data=fetch)
        trusted = str(tmp_path / "ca.pem")
        ran = transcriber("--job-config", job, audio=b"", **private, SSL_CERT_FILE=trusted)
        assert text(document(ran)) == "Hello, good morning."
        ran = transcriber("--job-config", job, audio=b"", **private)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.startswith(b"unable to fetch audio: ")


@pytest.mark.parametrize("setting", ["TRANSCRIBER__BYTES_MAX", "FETCH__BYTES_MAX"])
def test_what_is_fetched_may_be_no_larger_than_any_file(
    tmp_path: Path, address: str, setting: str
) -> None:
    fetch = {"url": address, "auth_headers": ["X-Key: secret"]}
    job = config(tmp_path / "job.json", fetch_data=fetch)
    bounds = {"STENTOR_FETCH__ALLOW_PRIVATE": "true", f"STENTOR_{setting}": "1000"}
    ran = transcriber("--job-config", job, audio=b"", **bounds)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"larger than 1000 bytes" in ran.stderr


async def test_what_is_fetched_does_not_stay_in_memory(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio, "SPOOL_BYTES", 1000)
    fetch = FetchData(url=address, auth_headers=["X-Key: secret"])
    options = TranscriberOptions(work=str(tmp_path))
    async with audio.fetched(fetch, options, FetchOptions(allow_private=True)) as file:
        assert os.readlink(f"/proc/self/fd/{file.fileno()}").startswith(str(tmp_path))
        file.seek(0)
        assert file.read() == HELLO.read_bytes()


def test_what_cannot_be_fetched_is_said(tmp_path: Path, address: str) -> None:
    job = config(tmp_path / "job.json", fetch_data={"url": address})
    ran = transcriber("--job-config", job, STENTOR_FETCH__ALLOW_PRIVATE="true")
    assert ran.returncode == 1
    assert b"unable to fetch audio: http status code 403" in ran.stderr


def test_private_addresses_are_not_fetched_from(tmp_path: Path, address: str) -> None:
    job = config(tmp_path / "job.json", fetch_data={"url": address})
    ran = transcriber("--job-config", job)
    assert ran.returncode == 1
    assert b"127.0.0.1 is not a public address" in ran.stderr


# ---- settings


def test_channels_are_told_apart(tmp_path: Path) -> None:
    left, right = pcm("hello"), np.pad(pcm("time"), (16_000, 0))
    length = max(len(left), len(right))
    both = np.stack([np.pad(c, (0, length - len(c))) for c in (left, right)], axis=1)
    settings = {"diarization": "channel", "channel_diarization_labels": ["Agent"]}
    job = config(tmp_path / "job.json", settings)
    ran = transcriber("--job-config", job, "--all-formats", tmp_path, audio=wav(both))
    told = document(ran)
    assert words(told, "Agent") == ["Hello", "good", "morning"]
    assert words(told, "Channel 2") == ["What", "time", "is", "it", "now"]
    starts = [item["start_time"] for item in told["results"] if item["type"] == "word"]
    assert starts == sorted(starts)
    assert (tmp_path / "transcript.txt").read_text() == (
        "SPEAKER: Agent\nHello, good morning.\n\nSPEAKER: Channel 2\nWhat time is it now?\n"
    )


def test_quiet_speech_is_filtered_and_volumes_are_told(tmp_path: Path) -> None:
    loud, quiet = pcm("hello"), (pcm("time") * 0.05).astype(np.int16)
    audio = wav(np.concatenate([loud, quiet]))
    job = config(tmp_path / "job.json", {"audio_filtering_config": {}})
    labelled = document(transcriber("--job-config", job, audio=audio))
    volumes = [item["volume"] for item in labelled["results"] if item["type"] == "word"]
    assert min(volumes[:3]) > 5 * max(volumes[3:])
    threshold = {"volume_threshold": max(volumes[3:]) * 2}
    job = config(tmp_path / "job.json", {"audio_filtering_config": threshold})
    filtered = document(transcriber("--job-config", job, audio=audio))
    assert words(filtered) == ["Hello", "good", "morning"]


def test_words_are_replaced_spelled_and_stripped_of_marks(tmp_path: Path) -> None:
    settings = {
        "additional_vocab": [{"content": "Goodmorning Ltd", "sounds_like": ["good morning"]}, "x"],
        "punctuation_overrides": {"permitted_marks": []},
        "transcript_filtering_config": {"replacements": [{"from": "/^H(.*)$/", "to": "J$1"}]},
    }
    job = config(tmp_path / "job.json", settings)
    told = document(transcriber("--job-config", job, audio=HELLO))
    assert text(told) == "Jello Goodmorning Ltd"


def test_speakers_are_unknown_and_the_log_says_so(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", {"diarization": "speaker"})
    ran = transcriber("--job-config", job, "-stderr", audio=HELLO)
    results = document(ran)["results"]
    assert {item["alternatives"][0]["speaker"] for item in results} == {"UU"}
    assert not any("volume" in item or "channel" in item for item in results)
    assert b"speakers are not told apart, each word's speaker is UU" in ran.stderr
    assert b"Transcribed 1 seconds of speech" in ran.stderr


def test_what_is_not_offered_is_told_in_the_metadata(tmp_path: Path) -> None:
    job = config(
        tmp_path / "job.json",
        summarization_config={},
        sentiment_analysis_config={},
        auto_chapters_config={},
        topic_detection_config={"topics": ["a"]},
        audio_events_config={},
        translation_config={"target_languages": ["de"]},
    )
    told = document(transcriber("--job-config", job, audio=HELLO))
    metadata = told["metadata"]
    for name in ("summarization", "sentiment_analysis", "auto_chapters"):
        assert metadata[f"{name}_errors"][0]["type"] == "unsupported_language"
    assert metadata["topic_detection_errors"][0]["message"].startswith("topic_detection is not")
    assert metadata["translation_errors"] == [
        {
            "type": "unsupported_translation_pair",
            "message": "Translation from en to de currently not supported",
        }
    ]
    assert (told["translations"], told["audio_events"]) == ({}, [])


@pytest.mark.parametrize(
    ("locale", "said"), [("en-GB", "Hello, good colour."), ("en-US", "Hello, good color.")]
)
def test_english_is_spelled_as_it_is_asked(tmp_path: Path, locale: str, said: str) -> None:
    vocabulary = [{"content": "color", "sounds_like": ["morning"]}]
    asked = {"output_locale": locale, "additional_vocab": vocabulary}
    job = config(tmp_path / "job.json", asked)
    assert text(document(transcriber("--job-config", job, audio=HELLO))) == said


def test_the_language_is_identified(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", {"language": "auto"})
    told = document(transcriber("--job-config", job, audio=HELLO))
    found = told["metadata"]["language_identification"]["results"][0]
    assert found["alternatives"][0]["language"] == "en"


@pytest.mark.parametrize(
    ("identification", "audio", "said"),
    [
        (
            {"expected_languages": ["de", "es"]},
            HELLO.read_bytes(),
            "The identified language 'en' is not one of the expected languages",
        ),
        ({}, wav(np.zeros(16_000, np.int16)), "No speech found for language identification"),
        ({"expected_languages": ["zz"]}, HELLO.read_bytes(), "Language(s) [zz] are not supported"),
    ],
)
def test_a_language_that_is_not_as_expected(
    tmp_path: Path, identification: dict[str, Any], audio: bytes, said: str
) -> None:
    job = config(
        tmp_path / "job.json",
        {"language": "auto"},
        language_identification_config=identification,
    )
    ran = transcriber("--job-config", job, audio=audio)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert said in ran.stderr.decode()


def test_german_is_transcribed_and_translated_into_english(tmp_path: Path) -> None:
    job = config(
        tmp_path / "job.json",
        {"language": "de"},
        translation_config={"target_languages": ["en"]},
    )
    told = document(transcriber("--job-config", job, audio=HELLO))
    assert told["metadata"]["language_pack_info"]["language_description"] == "German"
    assert told["metadata"]["translation_config"] == {"target_languages": ["en"]}
    (sentence,) = told["translations"]["en"]
    assert sentence.keys() == {"start_time", "end_time", "content", "speaker"}


# ---- surroundings


def test_a_job_config_of_an_editor_on_windows(tmp_path: Path) -> None:
    path = config(tmp_path / "config.json")
    path.write_bytes(codecs.BOM_UTF8 + path.read_bytes())
    assert document(transcriber("--job-config", path, audio=HELLO))["results"]


def test_a_closed_standard_output_is_said() -> None:
    command = [sys.executable, "-m", "server", "transcriber"]
    ran = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command],
        env=environment(),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr == b"stentor transcriber: standard output is closed\n"


def test_a_pipe_may_be_named_as_the_input() -> None:
    ran = transcriber("--input", "/dev/stdin", audio=HELLO.read_bytes())
    assert text(document(ran)) == "Hello, good morning."
    assert transcriber("--input", "/dev/stdin", audio=b"no audio").returncode == 1


@pytest.mark.parametrize("where", ["/dev/null", "/dev/zero", "/", "/proc/self/mem"])
def test_what_is_no_file_is_not_valid(where: str) -> None:
    ran = transcriber("--input", where)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"Traceback" not in ran.stderr
    assert f"{where} is not valid: ".encode() in ran.stderr


def test_a_number_that_json_cannot_tell_again_is_refused(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", {"ctrl": {"a": 0}})
    job.write_text(job.read_text().replace('"a": 0', '"a": 1e999'))
    ran = transcriber("--job-config", job, audio=HELLO)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"a number in it that is too large" in ran.stderr


@pytest.mark.parametrize("language", ["auto", "xx"])
def test_a_default_language_is_one(tmp_path: Path, language: str) -> None:
    asked = {"low_confidence_action": "use_default_language", "default_language": language}
    job = config(tmp_path / "job.json", {"language": "auto"}, language_identification_config=asked)
    ran = transcriber("--job-config", job, audio=HELLO)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"internal" not in ran.stderr
    assert language.encode() in ran.stderr
