"""Keys and temporary tokens, as AssemblyAI's streaming client presents them and is refused."""

import time
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from assemblyai.streaming.v3 import BeginEvent, StreamingError, TurnEvent

from tests.access_rigs import WRONG, Keyed, keyed
from tests.assemblyai_live import Session, connected
from tests.conftest import Recording

__all__ = ["keyed"]

HELLO = 0  # of the recordings


def token(keyed: Keyed, seconds: int, **more: int) -> str:
    with keyed.client(keyed.keys["web"]) as client:
        query = {"expires_in_seconds": seconds, **more}
        answer = client.get("/v3/token", params=query)
    assert answer.status_code == httpx.codes.OK, answer.text
    made: str = answer.json()["token"]
    return made


def refused(keyed: Keyed, key: str) -> tuple[int | None, str]:
    with connected(keyed.url, key=key) as session:
        session.wait_for(Exception)
    assert session.heard == session.of(Exception)
    return session.error


def spoken(keyed: Keyed, key: str, recording: Recording) -> Session:
    with connected(keyed.url, key=key) as session:
        session.push(recording.pcm)
        session.finish()
    return session


def test_a_key_and_a_token_open_a_session(keyed: Keyed, speech: list[Recording]) -> None:
    assert spoken(keyed, keyed.keys["web"], speech[HELLO]).text == speech[HELLO].text
    assert spoken(keyed, token(keyed, 60), speech[HELLO]).text == speech[HELLO].text


def test_a_token_can_be_used_again_within_its_window(keyed: Keyed, speech: list[Recording]) -> None:
    made = token(keyed, 60)
    texts = [spoken(keyed, made, speech[HELLO]).text for _ in range(2)]
    assert texts == [speech[HELLO].text] * 2


def test_a_token_says_how_long_the_session_may_last(keyed: Keyed, speech: list[Recording]) -> None:
    made = token(keyed, 60, max_session_duration_seconds=90)
    ends = spoken(keyed, made, speech[HELLO]).begin.expires_at
    assert ends - datetime.now(UTC) == pytest.approx(
        timedelta(seconds=90), abs=timedelta(seconds=20)
    )


def test_a_wrong_key_is_refused(keyed: Keyed) -> None:
    assert refused(keyed, WRONG) == (1008, "Unauthorized Connection: Invalid API key")


def test_a_token_that_has_expired_is_refused(keyed: Keyed) -> None:
    made = token(keyed, 1)
    time.sleep(2.1)
    assert refused(keyed, made) == (1008, "Unauthorized Connection: Signature has expired")


def test_a_key_has_as_many_sessions_as_it_may(keyed: Keyed) -> None:
    key = keyed.make("narrow", streams_max=1)
    with connected(keyed.url, key=key) as session:
        session.wait_for(BeginEvent)
        why = refused(keyed, key)
    assert why == (1008, "Unauthorized Connection: Too many concurrent sessions")


def test_a_session_ends_with_what_was_said_when_its_key_is_revoked(
    keyed: Keyed, speech: list[Recording]
) -> None:
    with connected(keyed.url, key=keyed.make("leaver")) as session:
        session.push(speech[HELLO].pcm)
        session.wait_for(TurnEvent)
        keyed.store.revoke("leaver")
        session.wait_for(StreamingError)
        assert session.error == (1008, "Unauthorized Connection: Invalid API key")
    assert session.text == speech[HELLO].text
