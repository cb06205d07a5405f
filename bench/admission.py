"""What more streams do to those there, and what happens to those that do not fit.

    python -m bench.admission --json bench/results/admission.json

Two questions. Is the first stream as fast beside 90 % of capacity as alone? And when more clients
come than fit, are they refused at once, is the server's own figure of how many more would fit
right, and do those that were there notice nothing? See README.md.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench import machine, metrics
from bench.clients import stream_native
from bench.figures import Figures, Session, print_table, session_figures, write_json
from bench.launch import ROOT, Server
from bench.load import DIGITS, Load, add_server_arguments, run_load, server_of, warm_up
from bench.recordings import Recording, Script, draw_script, load_recordings
from bench.trace import Pace, Trace

CAPACITY = ROOT / "bench" / "results" / "capacity.json"
STEPS = (25, 50, 75, 90)  # percent of capacity
FIRST_MORE_MAX = 0.25  # of the first stream's p99, and one batch more
FIGURE_OFF_PERCENT_MAX = 20
NOTICED_PERCENT_MAX = 20  # of p95, while others are refused
REFUSED_MS_MAX = 1000
OVERLOADED, TRY_AGAIN_LATER = "overloaded", 1013
READS_SECONDS = 4  # at the end of a step, in which the figure is read
PAUSE_SECONDS = 1.2
FAILURES_SHOWN = 5
METRIC = re.compile(r"^stentor_streams_left (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who comes when, in seconds from the start. `streams` come in steps; then so many `more` that
    not all fit; then for a while nobody; then as many again, none of whom fits."""

    capacity: int
    streams: int
    step_seconds: float = 10
    phase_seconds: float = 18
    more: int = 0
    steps: tuple[int, ...] = field(init=False)  # streams at the end of each

    def __post_init__(self) -> None:
        counts = {min(self.streams, max(1, self.capacity * share // 100)) for share in STEPS}
        object.__setattr__(self, "steps", tuple(sorted(counts | {self.streams})))

    @property
    def filling(self) -> float:
        return self.step_seconds * len(self.steps)

    @property
    def calm(self) -> float:
        return self.filling + self.phase_seconds

    @property
    def storm(self) -> float:
        return self.calm + self.phase_seconds

    @property
    def end(self) -> float:
        return self.storm + self.phase_seconds

    def arrivals(self) -> list[float]:
        """When each client connects, in order. Those of a step come in its first third."""
        out: list[float] = []
        for number, count in enumerate(self.steps):
            new = count - len(out)
            began, spread = number * self.step_seconds, self.step_seconds / 3
            out += [began + spread * index / new for index in range(new)]
        for began in (self.filling, self.storm):
            # Half of the phase: the rest shows what they left behind.
            out += [began + self.phase_seconds / 2 * i / self.more for i in range(self.more)]
        return out


# ---- the first stream, alone and in company


async def batch_seconds(server: Server) -> tuple[float, float]:
    """Time that batches of partials have taken, and how many of them there were."""
    counters = await server.counters()
    name = "stentor_decode_seconds"
    return (
        counters.get(f"{name}_sum kind=partial", 0.0),
        counters.get(f"{name}_count kind=partial", 0.0),
    )


async def first_stream(
    server: Server, recordings: list[Recording], given: argparse.Namespace
) -> dict[str, Any]:
    """The same client, with the same script, alone and as the first of many, in turn."""
    words: dict[str, list[float]] = {"alone": [], "in company": []}
    batches: list[float] = []
    for turn in range(given.turns):
        for case, streams in (("alone", 1), ("in company", given.streams)):
            load = Load(streams, given.seconds, PAUSE_SECONDS, seed=given.seed)
            before = await batch_seconds(server)
            sessions, _ = await run_load(server, load, load.scripts(recordings, turn))
            after = await batch_seconds(server)
            latencies = metrics.word_latencies(*sessions[0])
            words[case] += [latency for latency in latencies if latency is not None]
            if streams > 1 and after[1] > before[1]:
                batches.append((after[0] - before[0]) / (after[1] - before[1]) * 1000)
            print(f"first stream {case}: word p99 {metrics.percentile(words[case], 99)} ms")
    return compare_first(words["alone"], words["in company"], batches)


def compare_first(
    alone: Sequence[float], company: Sequence[float], batch_ms: Sequence[float]
) -> dict[str, Any]:
    one = statistics.fmean(batch_ms) if batch_ms else 0.0
    p99 = metrics.percentile(alone, 99)
    return {
        "alone": _percentiles(alone),
        "in_company": _percentiles(company),
        "batch_ms_mean": round(one, 1),
        "word_ms_p99_max": round(p99 * (1 + FIRST_MORE_MAX) + one, 1),
        "reached": metrics.percentile(company, 99) <= p99 * (1 + FIRST_MORE_MAX) + one,
    }


def _percentiles(latencies: Sequence[float]) -> Figures:
    shares = {f"word_ms_p{s}": metrics.percentile(latencies, s) for s in (50, 95, 99)}
    return {**shares, "words": float(len(latencies))}


# ---- more than fit


@dataclass(frozen=True, slots=True)
class Reading:
    """What the server said of itself at a moment of the plan."""

    at: float
    streams: int
    streams_left: int | None  # from /readyz
    metric: float | None  # stentor_streams_left


@dataclass(slots=True)
class Filling:
    """One run of a plan."""

    plan: Plan
    began: float = 0.0  # by `time.perf_counter`, as in a trace
    readings: list[Reading] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)

    async def run(self, server: Server, recordings: list[Recording], seed: int) -> None:
        arrivals = self.plan.arrivals()
        scripts = [
            draw_script(recordings, self.plan.end - at, PAUSE_SECONDS, seed + number)
            for number, at in enumerate(arrivals)
        ]
        self.began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            clients = [
                group.create_task(self._client(server, script, at))
                for script, at in zip(scripts, arrivals, strict=True)
            ]
            watching = group.create_task(self._read(server))
        self.sessions = [client.result() for client in clients]
        watching.result()

    async def _client(self, server: Server, script: Script, at: float) -> Session:
        await asyncio.sleep(max(0.0, self.began + at - time.perf_counter()))
        options = {"language": "en"}
        return script, await stream_native(server.stream_url, script.audio, Pace(), options)

    async def _read(self, server: Server) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            while (at := time.perf_counter() - self.began) < self.plan.end:
                body = (await client.get(server.url + "/readyz")).json()
                told = METRIC.search((await client.get(server.url + "/metrics")).text)
                self.readings.append(
                    Reading(
                        round(at, 1),
                        body["streams"],
                        body.get("streams_left"),
                        float(told[1]) if told else None,
                    )
                )
                await asyncio.sleep(1)


def refused(trace: Trace) -> bool:
    """As the protocol has it: the error first, nothing accepted, then the close."""
    codes = [error["code"] for error in trace.errors]
    return codes == [OVERLOADED] and trace.close_code == TRY_AGAIN_LATER


def summary(filling: Filling) -> dict[str, Any]:
    plan = filling.plan
    first, later = filling.sessions[: plan.streams], filling.sessions[plan.streams :]
    turned_away = [trace for _, trace in later if refused(trace)]
    stayed = [s for s in filling.sessions if not s[1].errors]
    answered = [t.answered_ms for t in turned_away if t.answered_ms is not None]
    failures = [t.errors for _, t in filling.sessions if t.errors and not refused(t)]
    return {
        "came": len(filling.sessions),
        "accepted": len(stayed),
        "accepted_later": sum(not trace.errors for _, trace in later),
        "refused": len(turned_away),
        "refused_of_the_first": sum(refused(trace) for _, trace in first),
        "failed_otherwise": len(failures),
        "failures": failures[:FAILURES_SHOWN],
        "refused_ms_p50": metrics.percentile(answered, 50),
        "refused_ms_max": round(max(answered, default=float("nan")), 1),
        "steps": figure_by_step(filling.readings, plan),
        "filling": phase(stayed, filling.began + plan.filling, filling.began + plan.calm),
        "calm": phase(stayed, filling.began + plan.calm, filling.began + plan.storm),
        "storm": phase(stayed, filling.began + plan.storm, filling.began + plan.end),
        "stayed": session_figures(stayed),
    }


def phase(sessions: Sequence[Session], began: float, ended: float) -> Figures:
    """The latencies of the words and finals that were due in a stretch of time."""
    words = [
        latency
        for script, trace in sessions
        for word, latency in zip(script.words, metrics.word_latencies(script, trace), strict=True)
        if latency is not None and began <= trace.due(word.end) < ended
    ]
    finals = [
        latency
        for script, trace in sessions
        for group, latency in zip(
            script.groups, metrics.final_latencies(script, trace), strict=True
        )
        if latency is not None and began <= trace.due(group[-1].end) < ended
    ]
    return {**_percentiles(words), "final_ms_p95": metrics.percentile(finals, 95)}


def figure_by_step(readings: Sequence[Reading], plan: Plan) -> list[dict[str, Any]]:
    """Streams and what the server says would still fit, at the end of each step and of the calm."""
    ends = [(number + 1) * plan.step_seconds for number in range(len(plan.steps))]
    out = []
    for end in [*ends, plan.storm]:
        read = [r for r in readings if end - READS_SECONDS <= r.at < end]
        if not read:
            continue
        streams = round(statistics.median(r.streams for r in read))
        left = [r.streams_left for r in read if r.streams_left is not None]
        step: dict[str, Any] = {"streams": streams, "streams_left": None}
        if left:
            total = streams + statistics.median(left)
            step |= {
                "streams_left": statistics.median(left),
                "streams_left_min": min(left),
                "streams_left_max": max(left),
                "says_fit": total,
                "off_percent": round(100 * (total / plan.capacity - 1), 1),
            }
        out.append(step)
    return out


def verdicts(found: dict[str, Any]) -> dict[str, bool | None]:
    """Each part of the goal: reached, missed, or not to be told."""
    steps = found["steps"]
    known = [step["off_percent"] for step in steps if "off_percent" in step]
    before, during = found["calm"]["word_ms_p95"], found["storm"]["word_ms_p95"]
    return {
        "figure_within_20_percent": all(abs(off) <= FIGURE_OFF_PERCENT_MAX for off in known)
        if len(known) == len(steps) > 0
        else None,
        "refused_with_the_protocols_error": found["refused"] > 0 and found["failed_otherwise"] == 0,
        "refused_at_once": found["refused_ms_max"] <= REFUSED_MS_MAX if found["refused"] else None,
        "nobody_else_notices": during <= before * (1 + NOTICED_PERCENT_MAX / 100)
        if found["refused"]
        else None,
    }


# ---- the command


def measured_capacity(path: Path = CAPACITY) -> int | None:
    if not path.exists():
        return None
    capacity: int = json.loads(path.read_text(encoding="utf-8"))["capacity"]
    return capacity


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.admission", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument(
        "--capacity", type=int, default=measured_capacity(), help="as bench.capacity found it"
    )
    parser.add_argument("--streams", type=int, help="default: 90 %% of the capacity")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--seconds", type=float, default=35, help="of each run beside the first")
    parser.add_argument("--turns", type=int, default=2, help="alone and in company, so often")
    parser.add_argument("--step", type=float, default=10, help="seconds of each step of filling")
    parser.add_argument("--phase", type=float, default=18, help="seconds full, calm, and refusing")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if given.capacity is None:
        parser.error(f"--capacity is needed: {CAPACITY.name} is not there")
    given.streams = given.streams or max(1, given.capacity * 9 // 10)
    return given


async def main(arguments: list[str]) -> None:
    given = parse(arguments)
    given.server_args = f"--engine.admit-by-load {given.server_args}"
    on = machine.describe()
    recordings = load_recordings(given.folder)
    most = max(2, given.capacity * 3 // 5)
    plan = Plan(given.capacity, given.streams, given.step, given.phase, most)
    async with server_of(given) as server:
        await warm_up(server, Load(), recordings)
        first = await first_stream(server, recordings, given) if given.turns else None
        filling = Filling(plan)
        await filling.run(server, recordings, given.seed)
    found = summary(filling)
    judged = verdicts(found)
    print(on)
    if first:
        columns = {case: first[case] for case in ("alone", "in_company")}
        print_table(f"the first of {given.streams} streams", columns)
        print(f"word p99 at most {first['word_ms_p99_max']} ms: {first['reached']}")
    print_table("streams", {name: found[name] for name in ("filling", "calm", "storm")})
    print({name: value for name, value in found.items() if not isinstance(value, dict)})
    print(judged)
    content = {"machine": on, "capacity": given.capacity, "streams": given.streams}
    more = {"verdicts": judged, "readings": [asdict(reading) for reading in filling.readings]}
    write_json(given.json, {**content, "first": first, **found, **more})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
