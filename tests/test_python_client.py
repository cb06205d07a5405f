"""clients/python/stentor_client.py against the real server, on networks that fail."""

import asyncio
import shutil
import subprocess
import sys
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bench.network import network
from clients.python.stentor_client import (
    ConnectionLost,
    Event,
    Files,
    Live,
    Server,
    Source,
    StentorError,
    stream,
    transcribe,
    wav,
)
from tests.access_rigs import Keyed, keyed
from tests.conftest import ROOT, Recording, free_port, running_server, start_server, stop_server
from tests.file_server import wave_of
from tests.wire import soon, streams

__all__ = ["keyed"]  # the fixture

CLIENT = ROOT / "clients" / "python" / "stentor_client.py"
PAUSE = bytes(32_000)


@pytest.fixture
def talk(speech: list[Recording], tmp_path: Path) -> Path:
    """Three sentences with a second of silence after each."""
    path = tmp_path / "talk.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        for recording in speech[:3]:
            file.writeframes(recording.pcm + PAUSE)
    return path


def said(speech: list[Recording]) -> list[str]:
    return [recording.text for recording in speech[:3]]


def finals(events: list[Event]) -> list[str]:
    return [event.text for event in events if event.type == "final" and event.text]


def kinds(events: list[Event]) -> list[str]:
    ours = ("ready", "lost", "resumed", "restarted", "done")
    return [event.type for event in events if event.type in ours]


def samples(path: Path) -> int:
    with wave.open(str(path)) as file:
        count: int = file.getnframes()
        return count


# ---- while it goes well


def test_a_program_without_an_event_loop_reads_events(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    events = list(stream(wav(talk), Server(server_url), language="en"))
    assert finals(events) == said(speech)
    assert kinds(events) == ["ready", "done"]
    partial = next(event for event in events if event.type == "partial")
    assert partial.text.startswith(partial.stable)
    assert partial.words[0].start is not None
    assert events[-1].fields["account"]["received"] == samples(talk)


def test_a_wav_may_be_sent_as_fast_as_it_is_taken(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    assert finals(list(stream(wav(talk, pace=False), Server(server_url)))) == said(speech)


async def test_blocks_of_an_ordinary_iterable_are_a_source(
    server_url: str, speech: list[Recording]
) -> None:
    pcm = speech[0].pcm
    blocks = [pcm[at : at + 1280] for at in range(0, len(pcm), 1280)]
    live = Live(Source(blocks), Server(server_url))
    assert finals([event async for event in live]) == [speech[0].text]


async def test_a_program_may_send_and_steer_by_itself(
    server_url: str, speech: list[Recording]
) -> None:
    live = Live(None, Server(server_url), partials=False)
    heard = asyncio.create_task(_all(live))
    for recording in speech[:2]:
        for at in range(0, len(recording.pcm), 3200):
            await live.send(recording.pcm[at : at + 3200])
        live.finalize()
        live.mark(recording.text)
    live.configure(prompt="Names: Ada.")
    live.stop()
    events = await heard
    assert finals(events) == said(speech)[:2]
    marks = [event.fields["id"] for event in events if event.type == "marker"]
    assert marks == said(speech)[:2]
    assert "partial" not in {event.type for event in events}


async def _all(live: Live, events: list[Event] | None = None) -> list[Event]:
    """`events`: where to put them, also up to an error."""
    events = [] if events is None else events
    async for event in live:
        events.append(event)
    return events


async def test_who_stops_listening_frees_the_stream(server_url: str, talk: Path) -> None:
    def first_partial() -> str:
        for event in stream(wav(talk), Server(server_url)):
            if event.type == "partial":
                return event.text
        raise AssertionError("no partial came")

    assert await asyncio.to_thread(first_partial)

    async def is_free() -> bool:
        return await streams(server_url) == 0

    assert await soon(is_free, 5)


async def test_a_source_that_fails_is_raised_after_what_it_gave(
    server_url: str, speech: list[Recording]
) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield speech[0].pcm[:40_000]
        yield speech[0].pcm[40_000:]
        raise OSError("the microphone was pulled out")

    events: list[Event] = []
    with pytest.raises(OSError, match="pulled out"):
        await _all(Live(Source(blocks()), Server(server_url)), events)
    assert finals(events) == [speech[0].text]


# ---- what is refused


async def test_a_refusal_is_raised_with_its_code_and_what_is_allowed(
    server_url: str, talk: Path
) -> None:
    with pytest.raises(StentorError, match=r"does not know 'zz' \(allowed: ") as error:
        await _all(Live(wav(talk), Server(server_url), language="zz"))
    assert error.value.code == "bad_message"


def test_a_server_that_is_not_there_is_said_soon(talk: Path) -> None:
    with pytest.raises(ConnectionLost, match=r"^http://127.0.0.1:1: "):
        list(stream(wav(talk), Server("http://127.0.0.1:1")))


def test_a_wav_of_other_samples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 1, 8000, 0, "NONE", ""))
    with pytest.raises(ValueError, match="samples of 8 bits, 16 are allowed"):
        wav(path)


async def test_each_connection_gets_a_token_of_its_own(
    keyed: Keyed, talk: Path, speech: list[Recording]
) -> None:
    minted = []

    async def token() -> str:
        minted.append(await asyncio.to_thread(keyed.token, "web"))
        return minted[-1]

    async with network(keyed.url) as net:
        events = []
        async for event in Live(wav(talk), Server(net.url, token=token)):
            events.append(event)
            if event.type == "partial" and len(minted) == 1:
                net.cut()
    assert len(set(minted)) == 2
    assert finals(events) == said(speech)


# ---- networks that fail


@pytest.mark.parametrize("seconds", [0, 1.5])
async def test_a_cut_in_mid_sentence_loses_no_word(
    server_url: str, talk: Path, speech: list[Recording], seconds: float
) -> None:
    async with network(server_url) as net:
        events = []
        async for event in Live(wav(talk), Server(net.url)):
            events.append(event)
            if event.type == "partial" and "lost" not in kinds(events):
                net.cut(down=True)
                asyncio.get_running_loop().call_later(seconds, net.restore)
    assert kinds(events) == ["ready", "lost", "resumed", "done"]
    assert finals(events) == said(speech)
    assert events[-1].fields["account"]["received"] == samples(talk)


async def test_a_connection_that_has_gone_silent_is_made_anew(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    async with network(server_url) as net:
        events = []
        async for event in Live(wav(talk), Server(net.url)):
            events.append(event)
            if event.type == "partial" and not net.silent and net.accepted == 1:
                net.silent = {"up", "down"}
                asyncio.get_running_loop().call_later(1, net.restore)
    assert kinds(events) == ["ready", "lost", "resumed", "done"]
    assert finals(events) == said(speech)
    assert events[-1].fields["account"]["received"] == samples(talk)


@pytest.mark.parametrize(
    ("how", "when"), [("kill", "partial"), ("terminate", "partial"), ("terminate", "final")]
)
async def test_a_server_that_is_started_anew_loses_no_word(
    talk: Path, speech: list[Recording], how: str, when: str
) -> None:
    port = free_port()
    server = await asyncio.to_thread(start_server, port=port)
    events = []
    async for event in Live(wav(talk), Server(server.url)):
        events.append(event)
        if event.type == when and event.utterance == 2 and len(kinds(events)) == 1:
            getattr(server.process, how)()
            await asyncio.to_thread(server.process.wait)
            server = await asyncio.to_thread(start_server, port=port)
    await asyncio.to_thread(stop_server, server)
    assert kinds(events) == ["ready", "lost", "restarted", "done"]
    assert finals(events) == said(speech)
    told = [event for event in events if event.type == "final" and event.text]
    starts = [event.start for event in told]
    assert starts == sorted(starts)
    assert starts[-1] > samples(talk) / 16_000 / 2
    assert [event.utterance for event in told] == sorted({event.utterance for event in told})


async def test_the_longest_session_is_followed_by_another(
    talk: Path, speech: list[Recording]
) -> None:
    with running_server("--limits.session-seconds-max", "5") as server:
        events = await _all(Live(wav(talk), Server(server.url)))
    assert kinds(events)[:3] == ["ready", "lost", "restarted"]
    assert finals(events) == said(speech)


async def test_what_was_said_last_is_told_where_the_server_does_not_come_back(
    speech: list[Recording], tmp_path: Path
) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(wave_of([speech[0].pcm]))
    events: list[Event] = []
    with running_server() as server:
        live = Live(wav(path), Server(server.url, patience_seconds=1))
        listening = asyncio.create_task(_all(live, events))
        async with asyncio.timeout(20):
            while sum(event.type == "partial" for event in events) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        server.process.terminate()
        with pytest.raises(ConnectionLost):
            await listening
    (final,) = (event for event in events if event.type == "final")
    assert final.fields["reason"] == "cut_off"
    assert final.text.split()[0] == speech[0].text.split()[0]


async def test_a_server_that_stays_away_is_given_up(talk: Path) -> None:
    with running_server() as server:
        live = Live(wav(talk), Server(server.url, patience_seconds=1))
        listening = asyncio.create_task(_all(live))
        async with asyncio.timeout(20):
            while not live.is_ready:  # noqa: ASYNC110 - it is what a program sees
                await asyncio.sleep(0.01)
        server.process.kill()
        with pytest.raises(ConnectionLost):
            await listening


# ---- files


def test_a_file_is_transcribed_in_any_form(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    text = transcribe(talk, Server(server_url), format="text", language="en")
    assert text.splitlines() == said(speech)


def test_a_file_that_is_none_is_refused_with_the_reason(
    server_url: str, talk: Path, tmp_path: Path
) -> None:
    (tmp_path / "not.wav").write_text("not audio")
    with pytest.raises(StentorError, match="not an audio"):
        transcribe(tmp_path / "not.wav", Server(server_url))
    with pytest.raises(StentorError, match="does not know 'zz'"):
        transcribe(talk, Server(server_url), language="zz")


async def test_an_interrupted_program_goes_on_with_its_job(
    server_url: str, talk: Path, speech: list[Recording], tmp_path: Path
) -> None:
    journal, size = tmp_path / "journal", talk.stat().st_size  # noqa: ASYNC240
    told: list[tuple[Any, ...]] = []
    begun = asyncio.Event()

    def report(what: str, done: float, of: float | None) -> None:
        told.append((what, done, of))
        if done == of:
            begun.set()

    async with Files(Server(server_url), journal) as files:
        task = asyncio.create_task(files.transcribe(talk, report=report))
        await begun.wait()
        while not journal.exists():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert ("sent", size, size) in told
    told.clear()
    async with Files(Server(server_url), journal) as files:
        assert (await files.transcribe(talk, "text", report)).splitlines() == said(speech)
        assert not [one for one in told if one[0] == "sent"]
    assert not list(journal.iterdir())


async def test_an_upload_is_sent_again_when_the_network_fails(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    async with network(server_url) as net, Files(Server(net.url)) as files:
        net.cut(down=True)
        asyncio.get_running_loop().call_later(0.3, net.restore)  # it is tried longer
        text = await files.transcribe(talk, "text")
    assert net.accepted >= 2
    assert text.splitlines() == said(speech)


# ---- one file


def test_it_runs_from_elsewhere_as_a_copy(
    server_url: str, talk: Path, speech: list[Recording]
) -> None:
    copy = shutil.copy(CLIENT, talk.parent / "client.py")
    ran = subprocess.run(
        [sys.executable, "-P", copy, server_url, talk],
        cwd=talk.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == said(speech)


def test_its_dependencies_are_named_in_it() -> None:
    head = CLIENT.read_text().split("# ///")[1]
    for name in ("httpx", "msgpack", "sounddevice", "websockets"):
        assert f'"{name}>=' in head
