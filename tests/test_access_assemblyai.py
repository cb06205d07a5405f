"""Keys and tokens with AssemblyAI's streaming client, and what it is told of wrong ones."""

import time

import pytest
from assemblyai.streaming.v3 import BeginEvent, StreamingError, TurnEvent

from tests.access_rigs import WRONG, Keyed, keyed
from tests.assemblyai_live import connected, transcribed
from tests.conftest import Recording

__all__ = ["keyed"]


def refused(url: str, key: str) -> tuple[int | None, str]:
    with connected(url, key=key) as session:
        session.wait_for(StreamingError)
        return session.error


def test_a_key_opens_a_session(keyed: Keyed, speech: list[Recording]) -> None:
    session = transcribed(keyed.url, speech[0].pcm, key=keyed.keys["web"])
    assert session.text == speech[0].text


def test_a_temporary_token_opens_a_session_and_bounds_it(
    keyed: Keyed, speech: list[Recording]
) -> None:
    token = keyed.token("web", session_seconds_max=600)
    session = transcribed(keyed.url, speech[0].pcm, key=token)
    assert session.text == speech[0].text
    assert session.begin.expires_at.timestamp() == pytest.approx(time.time() + 600, abs=30)


def test_a_wrong_key_is_told_so_in_the_protocols_own_words(keyed: Keyed) -> None:
    assert refused(keyed.url, WRONG) == (1008, "Unauthorized Connection: Invalid API key")


def test_an_expired_token_is_told_so(keyed: Keyed) -> None:
    token = keyed.token("web", expires_in_seconds=1)
    time.sleep(2.1)
    assert refused(keyed.url, token) == (1008, "Unauthorized Connection: Signature has expired")


def test_too_many_sessions_of_a_key(keyed: Keyed) -> None:
    key = keyed.make("caller", streams_max=1)
    with connected(keyed.url, key=key) as first:
        first.wait_for(BeginEvent)
        expected = "Unauthorized Connection: Too many concurrent sessions"
        assert refused(keyed.url, key) == (1008, expected)


def test_a_session_ends_when_its_key_is_revoked(keyed: Keyed, speech: list[Recording]) -> None:
    with connected(keyed.url, key=keyed.make("leaver")) as session:
        session.push(speech[0].pcm)
        session.wait_for(TurnEvent)
        keyed.store.revoke("leaver")
        session.wait_for(StreamingError)
        assert session.error == (1008, "Unauthorized Connection: Invalid API key")
    assert session.text == speech[0].text
