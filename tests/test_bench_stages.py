import pytest

from bench.stage_rules import Samples, Stack, attribute, functions, stage_of
from bench.stages import parse_stacks

LOOP = ("serve (server/commands/serve.py:73)", "Runner.run (asyncio/runners.py:118)")
CONNECTION = (*LOOP, "Connection.run (server/connection.py:60)")
DECODE = ("Thread.run (threading.py:982)", "_worker (concurrent/futures/thread.py:83)")
BACKEND = (*DECODE, "WhisperBackend.decode (batch/backends/whisper.py:150)")
IDLE = ("Thread.run (threading.py:982)", "_worker (concurrent/futures/thread.py:81)")


@pytest.mark.parametrize(
    ("inner", "stage"),
    [
        ((), "receive"),
        (("Connection._receive (server/connection.py:111)", "Queue.get (a/q.py:1)"), "receive"),
        (("Connection._write (server/connection.py:9)", "dumps (json/encoder.py:2)"), "send"),
        (
            ("Stream.feed (batch/stream.py:1)", "AudioDecoder.feed (streaming/audio.py:2)"),
            "resample",
        ),
        (("Stream.feed (batch/stream.py:1)", "Session.feed (streaming/session.py:2)"), "policy"),
        (("Metrics.heard (server/metrics.py:1)", "inc (prometheus_client/metrics.py:2)"), "policy"),
    ],
)
def test_the_innermost_frame_with_a_rule_decides(inner: tuple[str, ...], stage: str) -> None:
    assert stage_of((*CONNECTION, *inner)) == stage


def test_a_closure_is_part_of_the_function_it_is_written_in() -> None:
    inner = "WhisperBackend._encode.<locals>.<listcomp> (batch/backends/whisper.py:205)"
    assert stage_of((*BACKEND, inner)) == "encode"


def test_the_loop_is_a_stage_and_what_has_no_rule_is_other() -> None:
    assert stage_of(LOOP) == "loop"
    assert stage_of(IDLE) == "other"


VAD = (*DECODE, "Vad.score (batch/vad.py:9)")
ENCODE = (*BACKEND, "WhisperBackend._encode (batch/backends/whisper.py:200)")


def test_a_thread_spends_on_a_stage_what_it_was_found_active_there() -> None:
    active: dict[Stack, int] = {(1, CONNECTION): 25, (2, VAD): 5}
    waiting: dict[Stack, int] = {(1, LOOP): 100, (2, IDLE): 100}
    spent = attribute({1: 2.5, 2: 0.5}, Samples(active, waiting), 10.0)
    assert spent == {"receive": 2.5, "vad": 0.5}


def test_what_remains_is_the_loops_on_its_thread_and_other_on_the_rest() -> None:
    active: dict[Stack, int] = {(1, CONNECTION): 20, (1, LOOP): 70, (2, VAD): 5, (2, IDLE): 90}
    waiting: dict[Stack, int] = {(1, LOOP): 100, (2, IDLE): 100}
    spent = attribute({1: 3.0, 2: 0.75}, Samples(active, waiting), 10.0)
    assert spent == {"receive": 2.0, "loop": 1.0, "vad": 0.5, "other": 0.25}


def test_no_thread_spends_more_than_it_used() -> None:
    active: dict[Stack, int] = {
        (1, CONNECTION): 30,
        (1, (*CONNECTION, "Session.feed (streaming/session.py:1)")): 10,
    }
    spent = attribute({1: 2.0}, Samples(active, {(1, LOOP): 100}), 10.0)
    assert spent == {"receive": 1.5, "policy": 0.5}


def test_the_models_own_threads_go_by_what_their_callers_wait_for() -> None:
    waiting: dict[Stack, int] = {(2, ENCODE): 1, (2, BACKEND): 3, (2, IDLE): 50, (1, LOOP): 54}
    spent = attribute({7: 10.0, 8: 2.0}, Samples({}, waiting), 10.0)
    assert spent == {"encode": 3.0, "decode": 9.0}


def test_a_thread_that_was_never_found_active_is_not_taken_for_the_models() -> None:
    spent = attribute({2: 0.01}, Samples({}, {(2, IDLE): 50, (3, BACKEND): 1}), 10.0)
    assert spent == {"other": 0.01}


def test_the_dearest_functions_of_a_stage_are_named() -> None:
    active: dict[Stack, int] = {
        (1, (*CONNECTION, "a (x.py:1)")): 2,
        (1, (*CONNECTION, "a (x.py:7)")): 1,
        (1, (*CONNECTION, "b (x.py:3)")): 1,
    }
    assert functions(active) == {"receive": {"a (x.py)": 0.75, "b (x.py)": 0.25}}


def test_the_stacks_of_the_profiler_are_read() -> None:
    text = "thread (12): decode_0;run (a b.py:982);f (c.py:1) 39\nthread (3): Main;g (d.py:2) 1\n"
    assert parse_stacks(text) == {
        (12, ("run (a b.py:982)", "f (c.py:1)")): 39,
        (3, ("g (d.py:2)",)): 1,
    }
