"""clients/python/stentor_client.py against the real server, on networks that fail."""

import ast
import asyncio
import re
import shutil
import subprocess
import sys
import tomllib
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bench.network import Network, network
from clients.python.stentor_client import (
    ConnectionLost,
    Event,
    Live,
    Server,
    Source,
    StentorError,
    stream,
    wav,
)
from tests.access_rigs import Keyed, keyed
from tests.conftest import ROOT, Recording, free_port, running_server, start_server, stop_server
from tests.file_server import wave_of
from tests.test_tidy import imports
from tests.wire import soon, streams

__all__ = ["keyed"]  # the fixture

CLIENT = ROOT / "clients" / "python" / "stentor_client.py"
PAUSE = bytes(22_400)


@pytest.fixture
def talk(speech: list[Recording], tmp_path: Path) -> Path:
    """Three sentences with 0.7 s of silence after each."""
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
    server_url: str, speech: list[Recording]
) -> None:
    events = list(stream(wav(speech[0].path), Server(server_url), language="en"))
    assert finals(events) == [speech[0].text]
    assert kinds(events) == ["ready", "done"]
    partial = next(event for event in events if event.type == "partial")
    assert partial.text.startswith(partial.stable)
    assert partial.words[0].start is not None
    assert events[-1].fields["account"]["received"] == samples(speech[0].path)


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
    minted: list[str] = []
    refused: list[Exception] = []

    async def token() -> str:
        if len(minted) == 1 and not refused:
            refused.append(httpx.ConnectError("the network is still away"))
            raise refused[0]
        minted.append(await asyncio.to_thread(keyed.token, "web"))
        return minted[-1]

    async with network(keyed.url) as net:
        events = []
        async for event in Live(wav(talk), Server(net.url, token=token)):
            events.append(event)
            if event.type == "partial" and len(minted) == 1:
                net.cut()
    assert (len(set(minted)), len(refused)) == (2, 1)
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


async def test_a_connection_is_missed_from_when_it_was_lost(
    server_url: str, speech: list[Recording]
) -> None:
    """And not from when something was last said."""
    pcm = bytes(80_000) + speech[0].pcm

    async def blocks(net: Network) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        for at in range(0, len(pcm), 1280):
            yield pcm[at : at + 1280]
            if at == 64_000:
                net.cut(down=True)
                loop.call_later(0.3, net.restore)
            await asyncio.sleep(0.04)

    async with network(server_url) as net:
        server = Server(net.url, patience_seconds=1)
        events = await _all(Live(Source(blocks(net)), server))
    assert kinds(events) == ["ready", "lost", "resumed", "done"]
    assert finals(events) == [speech[0].text]


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


# ---- one file


def test_it_runs_from_elsewhere_as_a_copy(
    server_url: str, speech: list[Recording], tmp_path: Path
) -> None:
    copy = shutil.copy(CLIENT, tmp_path / "client.py")

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        ran = subprocess.run(
            [sys.executable, "-P", copy, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr

    assert run(server_url, speech[0].path) == (0, speech[0].text + "\n", "")
    assert run()[2].startswith("usage: ")
    for code, out, said in (run(server_url, "no.wav"), run("127.0.0.1:1", speech[0].path)):
        assert (code, out, len(said.splitlines())) == (1, "", 1)


def test_its_dependencies_are_named_in_it() -> None:
    text = CLIENT.read_text()
    block = re.search(r"(?m)^# /// script\n((?:# .*\n)+)# ///$", text)
    assert block is not None
    head = tomllib.loads(block[1].replace("# ", ""))
    assert {name for name, _, _ in (d.partition(">=") for d in head["dependencies"])} == {
        name.partition(".")[0]
        for _, name in imports(ast.parse(text))
        if name.partition(".")[0] not in sys.stdlib_module_names
    }
    assert sys.version_info >= tuple(map(int, head["requires-python"][2:].split(".")))
