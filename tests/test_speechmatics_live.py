"""What Speechmatics' Python client gets from `/v2`."""

import asyncio
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from speechmatics.rt import AudioEncoding, AudioFormat

from tests.conftest import ROOT, Recording
from tests.encodings import encoded, samples
from tests.speechmatics_live import RAW, Heard, spoken, transcribed, words_of

DOCS = (ROOT / "docs" / "speechmatics-realtime.md").read_text(encoding="utf-8")
HELLO, DESK = 0, 10  # places among the recordings


@pytest.fixture(scope="module")
def desk(server_url: str, speech: list[Recording]) -> Heard:
    """Four sentences with pauses between them, at the pace they were spoken."""
    session = spoken(server_url, speech[DESK].pcm, enable_partials=True, max_delay=1.0)
    return asyncio.run(session)


def test_the_client_of_the_docs(server_url: str, speech: list[Recording], tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    program = found.group(1).replace("ws://127.0.0.1:8000", server_url.replace("http", "ws"))
    (tmp_path / "client.py").write_text(program)
    shutil.copy(speech[HELLO].path, tmp_path / "speech.wav")
    ended = subprocess.run(
        [sys.executable, "client.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout, ended.returncode) == (speech[HELLO].text + " ", 0), ended.stderr


async def test_a_file_pushed_at_once(server_url: str, speech: list[Recording]) -> None:
    heard = await transcribed(server_url, speech[DESK].path.read_bytes())
    assert heard.text == speech[DESK].text + " "
    assert heard.names[-1] == "EndOfTranscript"


def test_a_session_begins_and_ends(desk: Heard) -> None:
    assert desk.names[:3] == ["Info", "Info", "RecognitionStarted"]
    assert [info["type"] for info in desk.of("Info")] == [
        "recognition_quality",
        "concurrent_session_usage",
    ]
    assert desk.of("Info")[1]["quota"] >= desk.of("Info")[1]["usage"] >= 1
    assert desk.names[-1] == "EndOfTranscript"


def test_the_finals_are_the_transcript(desk: Heard, speech: list[Recording]) -> None:
    assert desk.text == speech[DESK].text + " "


def test_finals_come_by_the_word_and_never_overlap(desk: Heard) -> None:
    assert len(desk.finals) > 8
    spans = [(r["start_time"], r["end_time"]) for f in desk.finals for r in f["results"]]
    assert all(start <= end for start, end in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_a_partial_holds_only_what_no_final_has(desk: Heard) -> None:
    told: list[str] = []
    for message in desk.of("AddTranscript", "AddPartialTranscript"):
        if message["message"] == "AddTranscript":
            told += words_of(message)
            last = message["metadata"]["end_time"]
        elif message["results"] and told:
            assert message["results"][0]["start_time"] >= last
        assert not message["metadata"]["transcript"].startswith(" ")


async def test_raw_audio_in_odd_pieces(server_url: str, speech: list[Recording]) -> None:
    heard = await transcribed(server_url, speech[HELLO].pcm, replace(RAW, chunk_size=1001))
    assert heard.text == speech[HELLO].text + " "
    numbers = [message["seq_no"] for message in heard.of("AudioAdded")]
    assert numbers == list(range(1, len(speech[HELLO].pcm) // 1001 + 2))


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [
        (AudioEncoding.PCM_F32LE, 44_100),
        (AudioEncoding.PCM_S16LE, 44_100),
        (AudioEncoding.MULAW, 8000),
    ],
)
async def test_raw_audio_in_each_encoding(
    server_url: str, speech: list[Recording], encoding: AudioEncoding, rate: int
) -> None:
    audio = encoded(samples(speech[HELLO].pcm), encoding.value, rate)
    heard = await transcribed(server_url, audio, AudioFormat(encoding=encoding, sample_rate=rate))
    assert heard.text == speech[HELLO].text + " "
    assert all("volume" not in result for final in heard.finals for result in final["results"])
