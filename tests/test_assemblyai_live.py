"""What AssemblyAI's Python streaming client gets from `/v3/ws`."""

import re
import shutil
import subprocess
import sys
import time
from itertools import groupby, pairwise
from pathlib import Path

import pytest
from assemblyai.streaming.v3 import TurnEvent

from tests.assemblyai_live import Session, connected, transcribed
from tests.conftest import ROOT, Recording

DOCS = (ROOT / "docs" / "assemblyai-streaming.md").read_text(encoding="utf-8")
HELLO, DESK = 0, 10  # places among the recordings


@pytest.fixture(scope="module")
def desk(server_url: str, speech: list[Recording]) -> Session:
    """Four sentences with pauses between them, at the pace they were spoken."""
    return transcribed(
        server_url, speech[DESK].pcm, interval=0.05, max_turn_silence=600, format_turns=True
    )


def test_the_client_of_the_docs(server_url: str, speech: list[Recording], tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    program = found.group(1).replace("ws://127.0.0.1:8000", server_url.replace("http", "ws"))
    (tmp_path / "client.py").write_text(program)
    shutil.copy(speech[HELLO].path, tmp_path / "speech.wav")
    ended = subprocess.run(
        [sys.executable, "client.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout, ended.returncode) == (speech[HELLO].text + "\n", 0), ended.stderr


def by_turn(session: Session) -> list[list[TurnEvent]]:
    return [list(turns) for _, turns in groupby(session.turns, lambda turn: turn.turn_order)]


def test_a_session_begins_and_is_terminated(desk: Session, speech: list[Recording]) -> None:
    assert desk.heard[0] is desk.begin
    assert desk.begin.expires_at.timestamp() == pytest.approx(time.time() + 3 * 3600, abs=60)
    assert desk.termination.audio_duration_seconds == round(len(speech[DESK].pcm) / 32_000)
    assert desk.termination.session_duration_seconds == pytest.approx(11, abs=3)


def test_every_turn_ends_once_and_in_order(desk: Session, speech: list[Recording]) -> None:
    assert desk.text == speech[DESK].text
    assert [turn.turn_order for turn in desk.ends] == [0, 1, 2, 3]
    for turns in by_turn(desk):
        assert [turn.end_of_turn for turn in turns] == [False] * (len(turns) - 1) + [True]


def test_partials_come_before_the_end_of_their_turn(desk: Session) -> None:
    assert min(len(turns) for turns in by_turn(desk)) >= 2


def test_final_words_never_change(desk: Session) -> None:
    for turns in by_turn(desk):
        for earlier, later in pairwise(turns):
            kept = [word for word in earlier.words if word.word_is_final]
            assert later.words[: len(kept)] == kept
        assert all(word.word_is_final for word in turns[-1].words)


def test_partials_arrive_while_audio_is_still_being_sent(
    server_url: str, speech: list[Recording]
) -> None:
    with connected(server_url) as session:
        session.push(speech[HELLO].pcm, interval=0.05)
        early = len(session.turns)
        session.finish()
    assert early >= 1
    assert session.texts == [speech[HELLO].text]
