"""The benches' client, against the server as a user starts it."""

from bench import metrics
from bench.clients import stream_native
from bench.recordings import Script, Spoken, read_wav
from bench.trace import Pace
from tests.conftest import SPEECH, free_port

EN = {"language": "en"}


def stream_url(url: str) -> str:
    return url.replace("http", "ws", 1) + "/v1/stream"


async def test_a_paced_session_yields_a_full_trace(server_url: str) -> None:
    audio = read_wav(SPEECH / "hello.wav")
    script = Script(audio, (Spoken("hello", 0.3, 0.7), Spoken("morning", 1.2, 1.62)))
    trace = await stream_native(stream_url(server_url), audio, Pace(), EN)
    assert (trace.close_code, trace.errors, metrics.account_faults(trace)) == (1000, [], [])
    assert " ".join(final.text for final in trace.finals) == "Hello, good morning."
    assert None not in metrics.word_latencies(script, trace)
    assert len(trace.lateness_ms) == -(-len(audio) // 320)


async def test_unpaced_audio_is_sent_as_fast_as_it_is_taken(server_url: str) -> None:
    audio = read_wav(SPEECH / "window.wav")
    trace = await stream_native(stream_url(server_url), audio, Pace(100, speed=0), EN)
    assert [final.text for final in trace.finals] == ["Please open the window."]
    assert trace.lateness_ms == []


async def test_a_refused_session_is_noted_with_the_servers_reason(server_url: str) -> None:
    audio = read_wav(SPEECH / "hello.wav")
    trace = await stream_native(stream_url(server_url), audio, Pace(), {"colour": "red"})
    assert [error["code"] for error in trace.errors] == ["bad_message"]
    assert trace.close_code == 4400
    assert metrics.account_faults(trace) == ["no account came"]


async def test_no_server_is_noted_too() -> None:
    audio = read_wav(SPEECH / "hello.wav")
    trace = await stream_native(f"ws://127.0.0.1:{free_port()}/v1/stream", audio, Pace(), EN)
    assert [error["code"] for error in trace.errors] == ["bench"]
