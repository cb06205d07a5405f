"""clients/python/stentor_client.py where a session ends before the recording does."""

import pytest

from clients.python.stentor_client import Event, Live, Server, Source, StentorError
from tests.wrong_servers import RESUME, Script, Talk, forgotten, sound, to_the_end, wrong_server

BLOCK = bytes(1280)  # 40 ms


async def hear(live: Live, events: list[Event]) -> None:
    """Adds all, also before an error."""
    async for event in live:
        events.append(event)


# ---- options that are refused


async def refused(talk: Talk, *fields: str) -> None:
    for field in fields:
        await talk.say("error", code="bad_message", message=field, field=field, fatal=False)


@pytest.mark.parametrize("has_sessions", [True, False])
async def test_what_the_server_does_not_take_is_not_asked_for_again(*, has_sessions: bool) -> None:
    async def script(talk: Talk) -> None:
        await talk.ready(RESUME if has_sessions else None)
        await talk.hear("configure", 4)
        await refused(talk, "task", "endpointing.silence_ms")
        if has_sessions:
            await talk.say("ack", messages=5)

    async with wrong_server(script, *[forgotten] * has_sessions, to_the_end) as server:
        live = Live(None, Server(server.url), language="en")
        await live.send(BLOCK)
        live.configure(partials=False)
        live.configure(task="sing", prompt="x")  # type: ignore[arg-type]
        live.configure(endpointing={"silence_ms": -1})
        live.configure(key_terms=["Ada"])
        async for event in live:
            if event.type == "restarted":
                live.stop()
    start, *more = server.talks[-1].heard
    del start["type"], start["resumable"], start["sample_rate"], start["channels"]
    del start["encoding"]
    assert start == {"language": "en", "partials": False, "key_terms": ["Ada"]}
    assert [message["type"] for message in more] == ["audio", "stop"]


async def test_what_is_configured_before_the_start_is_no_part_of_it() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("configure")
        await refused(talk, "task")
        await talk.hear("stop")
        await talk.finish()

    async with wrong_server(script) as server:
        live = Live(Source([BLOCK]), Server(server.url))
        live.configure(task="sing")  # type: ignore[arg-type]
        events: list[Event] = []
        await hear(live, events)
    assert "task" not in server.talks[0].heard[0]
    assert [event.type for event in events] == ["ready", "error", "done"]


async def test_what_was_configured_and_not_taken_is_asked_of_another_session() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("audio")
        await talk.say("ack", messages=1)

    async with wrong_server(script, forgotten, to_the_end) as server:
        live = Live(None, Server(server.url))
        await live.send(BLOCK)
        live.configure(prompt="Ada")
        live.stop()
        await hear(live, [])
    said = [(m["type"], m.get("prompt")) for m in server.talks[-1].heard]
    assert said == [("start", None), ("audio", None), ("configure", "Ada"), ("stop", None)]


# ---- what is cut off


async def cut_off(talk: Talk, text: str = "My phone numb", end: float = 2.0) -> None:
    await talk.ready()
    await talk.hear("marker")
    await talk.say("ack", messages=len(talk.heard) - 1)
    reason = {"reason": "cut_off", "channel": 0, "utterance": 1}
    await talk.say("final", seq=1, start=1.0, end=end, text=text, **reason)
    await talk.say("marker", seq=2, id="here", at=end)
    await talk.go_away(seq=3)


async def told_until_it_is_given_up(*scripts: Script) -> tuple[list[str], int]:
    """The texts of finals and the number of markers."""
    events: list[Event] = []
    async with wrong_server(*scripts) as server:
        live = Live(None, Server(server.url, patience_seconds=0.5))
        await live.send(sound(2))
        live.mark("here")
        with pytest.raises(StentorError):
            await hear(live, events)
    finals = [event.text for event in events if event.type == "final"]
    return finals, sum(event.type == "marker" for event in events)


async def refusing(talk: Talk) -> None:
    await talk.hear("start")
    await talk.fail("unauthorized", 1008)


async def dying(talk: Talk) -> None:
    await talk.ready()
    await talk.hear("marker")


async def test_what_was_cut_off_is_told_where_the_session_that_would_say_it_dies_as_well() -> None:
    told = await told_until_it_is_given_up(cut_off, dying, forgotten, refusing)
    assert told == (["My phone numb"], 1)


async def test_what_was_cut_off_is_not_told_again_once_another_session_has_said_it() -> None:
    async def whole(talk: Talk) -> None:
        await dying(talk)
        await talk.say("final", seq=1, channel=0, start=1.0, end=1.6, text="My phone number")
        await talk.say("marker", seq=2, id="here", at=2.0)

    told = await told_until_it_is_given_up(cut_off, whole, forgotten, refusing)
    assert told == (["My phone number"], 1)


async def test_what_is_cut_off_twice_is_told_once_with_all_that_was_heard_of_it() -> None:
    async def sooner(talk: Talk) -> None:
        await cut_off(talk, "My", 0.6)

    told = await told_until_it_is_given_up(cut_off, sooner, refusing)
    assert told == (["My phone numb"], 1)


async def test_utterances_keep_their_numbers_where_a_channel_has_said_nothing_yet() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("audio")
        final = {"channel": 0, "utterance": 1, "start": 0.0, "end": 0.02}
        await talk.say("final", seq=1, text="one", reason="silence", **final)

    async def other(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("stop")
        final = {"channel": 0, "utterance": 1, "start": 0.02, "end": 0.04}
        await talk.say("final", seq=1, text="two", reason="stop", **final)
        await talk.say("done", seq=2, account={})
        await talk.socket.close()

    events: list[Event] = []
    async with wrong_server(script, forgotten, other) as server:
        await hear(Live(Source([BLOCK], channels=2), Server(server.url)), events)
    finals = [(event.text, event.utterance) for event in events if event.type == "final"]
    assert finals == [("one", 1), ("two", 2)]
