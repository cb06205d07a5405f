"""The batch container's contract: real processes on the small model."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.commands import transcriber as command
from server.speechmatics.surroundings import cores_of, lacks_avx
from tests.conftest import ROOT
from tests.sounds import media, tone
from tests.test_processes import until
from tests.transcriber_rigs import (
    HELLO,
    config,
    document,
    environment,
    long_speech,
    pcm,
    session_of,
    text,
    transcriber,
    wav,
    words,
)

SENTENCES = ("hello", "window", "time", "order", "train", "number", "callback", "coffee")


# ---- audio in, JSON out


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return document(transcriber(audio=HELLO.read_bytes()))


def test_a_pipe_in_json_out(told: dict[str, Any]) -> None:
    assert told["format"] == "2.9"
    assert set(told) == {"format", "metadata", "results"}
    assert text(told) == "Hello, good morning."


def test_metadata_says_what_was_done(told: dict[str, Any]) -> None:
    metadata = told["metadata"]
    assert metadata["type"] == "transcription"
    assert metadata["transcription_config"] == {"language": "auto"}
    assert datetime.fromisoformat(metadata["created_at"]).tzinfo is not None
    assert metadata["language_pack_info"] == {
        "adapted": False,
        "itn": True,
        "language_description": "English",
        "word_delimiter": " ",
        "writing_direction": "left-to-right",
    }


def test_words_and_marks_are_results_of_their_own(told: dict[str, Any]) -> None:
    hello, comma, *_, stop = told["results"]
    assert hello["type"] == "word"
    assert 0 < hello["start_time"] < hello["end_time"]
    assert hello["alternatives"][0].keys() == {"content", "confidence", "language", "speaker"}
    assert hello["alternatives"][0]["language"] == "en"
    assert hello["alternatives"][0]["speaker"] == "UU"
    assert 0 < hello["alternatives"][0]["confidence"] <= 1
    assert comma["type"] == "punctuation"
    assert comma["start_time"] == comma["end_time"] == hello["end_time"]
    assert (comma["attaches_to"], comma["is_eos"]) == ("previous", False)
    assert (stop["alternatives"][0]["content"], stop["is_eos"]) == (".", True)


def test_only_the_transcript_goes_to_standard_output() -> None:
    ran = transcriber("-stderr", audio=HELLO)
    assert ran.stdout.count(b"\n") == 1
    json.loads(ran.stdout)
    assert b"model nano on cpu" in ran.stderr


def test_without_logs_nothing_is_said() -> None:
    assert transcriber(audio=HELLO).stderr == b""


def test_a_file_gives_the_same_as_standard_input(told: dict[str, Any]) -> None:
    assert document(transcriber("--input", HELLO))["results"] == told["results"]
    assert document(transcriber(audio=HELLO))["results"] == told["results"]


@pytest.mark.parametrize(
    ("container", "codec"),
    [("mp3", "libmp3lame"), ("ogg", "libopus"), ("flac", "flac"), ("mp4", "aac")],
)
def test_the_type_is_found_in_the_data(container: str, codec: str) -> None:
    speech = np.repeat(pcm("hello"), 3)[:, None].astype(np.float32) / np.float32(32768)
    audio = media(speech, 48_000, container, codec)
    assert text(document(transcriber(audio=audio))) == "Hello, good morning."


def test_silence_is_a_success_without_results() -> None:
    silent = wav(np.zeros(32_000, np.int16))
    assert document(transcriber(audio=silent))["results"] == []


# ---- its configuration


def test_the_job_config_is_heeded_and_told(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", {"operating_point": "enhanced", "domain": "medical"})
    ran = transcriber(f"--job-config={job}", "-stderr", audio=HELLO)
    told = document(ran)
    assert told["metadata"]["transcription_config"] == {
        "language": "en",
        "operating_point": "enhanced",
        "domain": "medical",
    }
    assert b"domain has no effect" in ran.stderr
    assert "language_identification" not in told["metadata"]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ("{", "the job config is not JSON"),
        ("[]", "the job config is not a JSON object"),
        ('{"type": "transcription"}', "transcription_config: is missing"),
        ('{"type": "alignment"}', "type 'alignment' is not offered by this server"),
        ({"langauge": "en"}, "transcription_config.langauge: there is no such field"),
        ({"language": "xx"}, "language 'xx' is not supported; supported: "),
        ({"diarization": "both"}, "transcription_config.diarization: 'both' is not allowed"),
        (
            {"transcript_filtering_config": {"replacements": [{"from": "/(/", "to": ""}]}},
            "'/(/' is not a regular expression",
        ),
    ],
)
def test_a_wrong_job_config_is_an_error(tmp_path: Path, job: Any, said: str) -> None:
    path = tmp_path / "job.json"
    if isinstance(job, dict):
        config(path, job)
    else:
        path.write_text(job)
    ran = transcriber("--job-config", path, audio=HELLO)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert said in ran.stderr.decode()
    assert b"Traceback" not in ran.stderr


def test_a_job_config_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    ran = transcriber("--job-config", tmp_path / "none.json", audio=HELLO)
    assert ran.returncode == 1
    assert b"none.json cannot be read: No such file or directory" in ran.stderr


def test_the_operating_point_chooses_the_model(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", {"operating_point": "enhanced"})
    chosen = {"STENTOR_TRANSCRIBER__ENHANCED": "/nowhere/large"}
    ran = transcriber("--job-config", job, audio=HELLO, **chosen)
    assert ran.returncode == 1
    assert b"there is no folder /nowhere/large" in ran.stderr
    assert transcriber(audio=HELLO, **chosen).returncode == 0


# ---- what goes wrong


@pytest.mark.parametrize("audio", [b"", b"this is not audio", b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_audio_is_not_valid(audio: bytes) -> None:
    ran = transcriber(audio=audio)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.startswith(b"/input.audio is not valid: ")
    assert len(ran.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_not_valid(tmp_path: Path) -> None:
    ran = transcriber("--input", tmp_path / "none.wav")
    assert ran.returncode == 1
    assert b"none.wav is not valid: the file cannot be opened: No such file" in ran.stderr


def test_audio_without_a_sample_rate() -> None:
    audio = media(tone(1.0), 16_000, "mpegts", "aac")
    tables, frames = audio[: 3 * 188], audio[3 * 188 :]
    silenced = b"".join(frames[at : at + 4] + bytes(184) for at in range(0, len(frames), 188))
    ran = transcriber(audio=tables + silenced)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.startswith(b"failed to get sample rate: ")


@pytest.mark.parametrize("flag", ["--parallel", "-parallel"])
@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_an_impossible_number_of_workers_is_a_usage_error(flag: str, value: str) -> None:
    ran = transcriber(f"{flag}={value}", audio=HELLO)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert f"--parallel/-parallel: invalid check_parallel value: '{value}'" in ran.stderr.decode()


def test_an_unknown_flag_is_a_usage_error() -> None:
    ran = transcriber("--job-confg", "x", audio=HELLO)
    assert ran.returncode == 2
    assert b"did you mean --job-config?" in ran.stderr


def test_a_file_that_is_too_long_or_too_large() -> None:
    for variable, value in (("SECONDS_MAX", "2"), ("BYTES_MAX", "1000")):
        ran = transcriber(audio=HELLO, **{f"STENTOR_TRANSCRIBER__{variable}": value})
        assert (ran.returncode, ran.stdout) == (1, b"")
        assert b"up to 2 s" in ran.stderr or b"larger than 1000 bytes" in ran.stderr


def test_a_pipe_that_brings_too_much() -> None:
    ran = transcriber(audio=HELLO.read_bytes(), STENTOR_TRANSCRIBER__BYTES_MAX="1000")
    assert ran.returncode == 1
    assert b"larger than 1000 bytes" in ran.stderr


def test_a_cpu_without_avx_is_told_apart() -> None:
    assert lacks_avx("x86_64", "flags\t\t: fpu sse4_2\nflags\t\t: fpu sse4_2\n")
    assert not lacks_avx("x86_64", "flags\t\t: fpu avx avx2\n")
    assert not lacks_avx("aarch64", "Features\t: fp asimd\n")


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000\n", 8),
        ("200000 100000\n", 2),
        ("50000 100000", 1),
        ("", 8),
        ("1600000 100000", 8),
    ],
)
def test_no_more_cores_than_the_container_has(quota: str, cores: int) -> None:
    assert cores_of(quota, 8) == cores


def test_a_signal_ends_it_with_its_number() -> None:
    command = [sys.executable, "-m", "server", "transcriber", "-stderr"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=ROOT,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(wav(long_speech(1200, SENTENCES)))
        process.stdin.close()
        assert b"model nano" in process.stderr.readline()
        process.terminate()
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert process.wait(timeout=20) == 128 + signal.SIGTERM


def test_a_signal_ends_its_processes_too() -> None:
    command = [sys.executable, "-m", "server", "transcriber", "--parallel", "2"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env=environment(), cwd=ROOT, start_new_session=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(wav(long_speech(3000, SENTENCES)))
        process.stdin.close()
        until(lambda: len(session_of(process.pid)) == 3)
        process.terminate()
        assert process.wait(timeout=20) == 128 + signal.SIGTERM
        assert session_of(process.pid) == []


def test_a_transcript_that_nobody_reads_is_an_error() -> None:
    command = [sys.executable, "-m", "server", "transcriber"]
    reading, writing = os.pipe()
    os.close(reading)
    with HELLO.open("rb") as audio:
        ran = subprocess.run(
            command,
            stdin=audio,
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"nobody reads the transcript\n")


def test_too_little_memory_has_the_references_text(capsys: pytest.CaptureFixture[str]) -> None:
    def exhausted() -> None:
        raise MemoryError

    assert command.reported(exhausted) == 1
    assert capsys.readouterr().err == "exit status 1: out of memory\n"


# ---- logs and licence


def test_logs_go_where_they_are_asked_for(tmp_path: Path) -> None:
    job = config(tmp_path / "job.json", {"enable_entities": True})
    where = {"SM_LOG_DIR": str(tmp_path / "logs"), "SM_JOB_ID": "124"}
    ran = transcriber("--job-config", job, audio=HELLO, **where)
    assert ran.stderr == b""
    assert document(ran)
    log = (tmp_path / "logs" / "124" / "sigurd.log").read_text()
    assert "enable_entities has no effect" in log
    assert "Hello" not in log


@pytest.mark.parametrize("job", ["../x", "a/b", ".."])
def test_a_job_id_is_a_name(tmp_path: Path, job: str) -> None:
    ran = transcriber(audio=HELLO, SM_LOG_DIR=str(tmp_path), SM_JOB_ID=job)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.startswith(b"Unable to set up logging: SM_JOB_ID")


def test_logs_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = transcriber(audio=HELLO, SM_LOG_DIR=str(tmp_path / "file"), SM_JOB_ID="1")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"Unable to set up logging: " in ran.stderr
    assert b"sigurd.log: [Errno 20] Not a directory" in ran.stderr


def test_a_licence_is_taken_note_of() -> None:
    ran = transcriber("-stderr", audio=HELLO, LICENSE_TOKEN="not/base64!")
    assert ran.returncode == 0
    assert ran.stderr.count(b"licence settings are not used by this server") == 1


# ---- more than one output, more than one worker


def test_all_formats_are_written_as_well(tmp_path: Path) -> None:
    ran = transcriber("--all-formats", tmp_path / "out", audio=HELLO)
    assert (tmp_path / "out" / "transcript.json").read_bytes() == ran.stdout
    assert (tmp_path / "out" / "transcript.txt").read_text() == "Hello, good morning.\n"
    srt = (tmp_path / "out" / "transcript.srt").read_text()
    assert srt.startswith("1\n00:00:00,")
    assert "\nHello, good morning.\n" in srt


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = transcriber("--allformats", tmp_path / "file", audio=HELLO)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"the transcripts cannot be written to" in ran.stderr


def test_several_workers_hear_the_same_words() -> None:
    audio = wav(long_speech(330, SENTENCES))
    one = document(transcriber("--parallel", "1", audio=audio))
    two = document(transcriber("-parallel", "2", audio=audio))
    assert text(one) == text(two)
    assert [r["start_time"] for r in one["results"]] == [r["start_time"] for r in two["results"]]
    assert len(words(one)) > 500
    assert text(one).count("Please open the window.") > 10


# ---- a short file must not wait for what it does not need

HEAVY = (
    *("torch", "dbos", "sqlalchemy", "starlette", "uvicorn", "httpx", "huggingface_hub"),
    *("prometheus_client", "rich", "pysubs2", "regex", "opencc", "pocketsphinx", "silero_vad"),
)


def test_nothing_is_loaded_that_a_short_file_does_not_use() -> None:
    code = (
        "import sys; from server.__main__ import main\n"
        "assert main(['transcriber']) == 0\n"
        f"print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        input=HELLO.read_bytes(),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.stderr.decode() == "[]\n"


def test_the_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.run(["--help"])
    assert ended.value.code == 0
    assert "--all-formats" in capsys.readouterr().out
