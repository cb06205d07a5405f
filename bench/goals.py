"""What the engine must reach, and what the results of the benches say of it. Pure.

A judge takes the content of one result and says its figures in words. It never guesses: what a
result does not hold is said to be missing.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Content = Mapping[str, Any]

STREAMS_MIN = 30
PEER_RATIO_MIN = 10
OURS = "ours"
MODEL_STAGES = ("encode", "decode")
OTHER_STAGE_SHARE_MAX = 0.15
WRONG = ("substituted", "deleted", "inserted")
ONE_SIDED_95 = 1.645  # standard errors
SHAPE_STREAMS_MIN = {"tiny": 14, "base": 7, "small": 2}
SILENT_CORES_MAX = 0.60
IDLE_CORES_MAX, IDLE_MB_MAX = 0.05, 150
MOVED_PERCENT_MAX = 20
FILES_RATIO_MIN = 1.3
LONG_JOB_MB_MAX = 150
RETAINED_MB_MAX = 50


@dataclass(frozen=True, slots=True)
class Finding:
    """A figure in words; `reached` is None where there is nothing to be reached or to tell."""

    figure: str
    reached: bool | None = None


Judge = Callable[[Content], list[Finding]]


@dataclass(frozen=True, slots=True)
class Goal:
    number: int
    text: str
    result: str  # the name of the file, without .json
    judge: Judge

    def findings(self, content: Content) -> list[Finding]:
        """A result in another form than the judge knows is told as such, not as a miss."""
        try:
            return self.judge(content)
        except (KeyError, IndexError, TypeError) as error:
            return [Finding(f"{self.result}.json lacks what is judged: {error!r}")]


def number(value: float | None, unit: str = "", digits: int = 0) -> str:
    """A figure as it is written in a table."""
    if value is None or math.isnan(value):
        return "none"
    return f"{value:.{digits}f}{' ' * bool(unit)}{unit}"


# ---- 1: capacity


def capacity(content: Content) -> list[Finding]:
    streams = content["capacity"]
    held = content["tried"][str(streams)]
    return [
        Finding(
            f"{streams} streams: word p95 {number(held['word_ms_p95'], 'ms')}, final p95 "
            f"{number(held['final_ms_p95'], 'ms')}, word error "
            f"{number(held['word_error_percent'], '%', 1)}",
            streams >= STREAMS_MIN,
        )
    ]


def peers(content: Content) -> list[Finding]:
    """Our worst round against WhisperLive's best, by partials alone and by the whole level."""
    out = []
    for level, what in (("partials", "by partials alone"), ("whole", "by the whole level")):
        ours, theirs = (content["verdict"][level][side] for side in ("ours", "whisperlive"))
        if ours is None or theirs is None:
            out.append(Finding(f"{what}: not measured"))
            continue
        more = ours / max(1, theirs)
        out.append(
            Finding(
                f"{what}: {ours} streams against {theirs or 'none'} of WhisperLive: {more:.1f} x",
                more >= PEER_RATIO_MIN,
            )
        )
    return out


def peer_words(content: Content) -> list[Finding]:
    """No form of WhisperLive may have fewer wrong words."""
    servers = content["servers"]
    errors = {name: WordErrors.of(server["figures"]) for name, server in servers.items()}
    told = ", ".join(f"{found.told()} {name}" for name, found in errors.items())
    judging = [
        errors[name]
        for name, server in servers.items()
        if server["protocol"] == "whisperlive" and errors[name].words
    ]
    judged = None  # more, but by no more than chance explains: too few words to tell
    if judging and errors[OURS].words:
        own = errors[OURS]
        if any(own.surely_more_than(other) for other in judging):
            judged = False
        elif all(own.rate <= other.rate for other in judging):
            judged = True
    return [Finding(f"words wrong, with as many streams as each holds: {told}", judged)]


@dataclass(frozen=True, slots=True)
class WordErrors:
    wrong: float
    words: float

    @classmethod
    def of(cls, run: Mapping[str, float]) -> "WordErrors":
        return cls(sum(run[f"words_{kind}"] for kind in WRONG), run["words"])

    @property
    def rate(self) -> float:
        return self.wrong / self.words

    def told(self) -> str:
        if not self.words:
            return "none"
        return f"{100 * self.rate:.1f} % ({self.wrong:.0f} of {self.words:.0f})"

    def surely_more_than(self, other: "WordErrors") -> bool:
        """By more than chance explains, 95 times of 100 (two proportions, pooled)."""
        pooled = (self.wrong + other.wrong) / (self.words + other.words)
        error = math.sqrt(pooled * (1 - pooled) * (1 / self.words + 1 / other.words))
        return self.rate - other.rate > ONE_SIDED_95 * error


# ---- 2: real sizes


def shapes(content: Content) -> list[Finding]:
    """By trimmed finals; the others are told beside them."""
    out = []
    for model, least in SHAPE_STREAMS_MIN.items():
        found = content["models"].get(model, {}).get("capacity")
        if found is None:
            out.append(Finding(f"{model}: not yet measured"))
            continue
        others = ", ".join(
            f"{other['streams']} with {finals} finals"
            for finals, other in found.items()
            if finals != "trimmed"
        )
        streams = found["trimmed"]["streams"]
        beside = f" ({others})" if others else ""
        out.append(
            Finding(f"{model}: {streams} streams, at least {least}{beside}", streams >= least)
        )
    return out


# ---- 3: more streams


def first_stream(content: Content) -> list[Finding]:
    first = content["first"]
    alone, company = first["alone"]["word_ms_p99"], first["in_company"]["word_ms_p99"]
    return [
        Finding(
            f"p99 {number(alone, 'ms')} alone, {number(company, 'ms')} as the first of "
            f"{content['streams']}; at most {number(first['word_ms_p99_max'], 'ms')} "
            f"(one batch: {number(first['batch_ms_mean'], 'ms')})",
            first["reached"],
        )
    ]


def refusal(content: Content) -> list[Finding]:
    verdicts = content["verdicts"]
    found = [
        Finding(
            f"of {content['came']} clients {content['accepted']} were accepted and "
            f"{content['refused']} refused with `overloaded` and 1013; "
            f"{content['failed_otherwise']} failed in another way",
            verdicts["refused_with_the_protocols_error"],
        )
    ]
    if not content["refused"]:
        return found
    calm, storm = content["calm"]["word_ms_p95"], content["storm"]["word_ms_p95"]
    return [
        *found,
        Finding(
            f"refused after {number(content['refused_ms_p50'], 'ms')} (median), "
            f"{number(content['refused_ms_max'], 'ms')} at most",
            verdicts["refused_at_once"],
        ),
        Finding(
            f"p95 of those that were there: {number(calm, 'ms')} before, {number(storm, 'ms')} "
            "while others were refused",
            verdicts["nobody_else_notices"],
        ),
    ]


def admission_figure(content: Content) -> list[Finding]:
    known = [step for step in content["steps"] if "says_fit" in step]
    if not known:
        return [Finding("the server told no such figure", None)]
    said = "; ".join(
        f"{step['streams']} + {number(step['streams_left'])} ({step['off_percent']:+.0f} %)"
        for step in known
    )
    return [
        Finding(
            f"streams + streams left, against a capacity of {content['capacity']}: {said}",
            content["verdicts"]["figure_within_20_percent"],
        )
    ]


# ---- 4: silence


def silent(content: Content) -> list[Finding]:
    """Digital silence, which the VAD need not score, and quiet noise, which it does."""
    return [
        Finding(
            f"{content['streams']} silent streams, {content['says'][name]}: "
            f"{number(100 * cores, '% of a core', 1)}, {number(case['server_mb_more'], 'MB')} more",
            cores < SILENT_CORES_MAX,
        )
        for name in ("silence", "noise")
        for case in [content["cases"][name]]
        for cores in [case["server_cpu_cores"]]
    ]


def idle(content: Content) -> list[Finding]:
    case = content["cases"]["connected"]
    cores, more = case["server_cpu_cores"], case["server_mb_more"]
    return [
        Finding(
            f"{content['streams']} idle sockets: {number(100 * cores, '% of a core', 1)}, "
            f"{number(more, 'MB')} more ({number(case['server_mb'], 'MB')} in all)",
            cores < IDLE_CORES_MAX and more < IDLE_MB_MAX,
        )
    ]


# ---- 5: files


def beside(content: Content) -> list[Finding]:
    return [
        Finding(
            f"{level['streams']} streams: word p95 {number(level['alone']['word_ms_p95'], 'ms')} → "
            f"{number(level['beside']['word_ms_p95'], 'ms')} "
            f"({level['moved_percent']['word_ms_p95']:+.0f} %), final p95 "
            f"{number(level['alone']['final_ms_p95'], 'ms')} → "
            f"{number(level['beside']['final_ms_p95'], 'ms')} "
            f"({level['moved_percent']['final_ms_p95']:+.0f} %); files beside at "
            f"{', '.join(number(speed) for speed in level['files_times_real_time'])} x real time "
            f"(alone: {number(content['files_alone_times_real_time'])})",
            all(moved < MOVED_PERCENT_MAX for moved in level["moved_percent"].values()),
        )
        for level in content["levels"]
    ]


def files(content: Content) -> list[Finding]:
    return [
        Finding(
            f"{model}, {job}, {what}: {number(found['ours']['times_real_time'])} x real time "
            f"against {number(found['pipeline']['times_real_time'])}: {found['ratio']:.2f} x",
            found["ratio"] >= FILES_RATIO_MIN,
        )
        for model, jobs in content["models"].items()
        for job, result in jobs.items()
        for what, found in result.items()
        if isinstance(found, Mapping) and "ratio" in found
    ]


def long_job(content: Content) -> list[Finding]:
    found = content["figures"]
    return [
        Finding(
            f"{number(found['audio_s'] / 60)} minutes: {number(found['mb_before'], 'MB')} before, "
            f"at most {number(found['mb_max'], 'MB')} meanwhile, which is "
            f"{number(found['mb_growth'], 'MB')} more; at "
            f"{number(found['times_real_time'])} x real time",
            found["mb_growth"] < LONG_JOB_MB_MAX and not found["failed"],
        )
    ]


# ---- 6: long and many sessions


def lag_slope(content: Content) -> list[Finding]:
    drift, minutes = content["drift"], content["minutes"]
    return [
        Finding(
            f"{content['streams']} streams, {number(content['seconds'] / 60)} minutes: "
            f"{drift[f'{name}_per_minute']:+.2f} ± {drift[f'{name}_per_minute_error']:.2f} ms a "
            f"minute ({what}; {number(minutes[0][name], 'ms')} in the first, "
            f"{number(minutes[-1][name], 'ms')} in the last)",
            drift[f"{name}_is_flat"],
        )
        for name, what in (("word_ms_mean", "mean of words"), ("word_ms_p95", "p95 of words"))
    ]


def retained(content: Content) -> list[Finding]:
    return [
        Finding(
            f"{content['sessions']} sessions, {case}: {number(found['mb_before'], 'MB')} before, "
            f"{number(found['mb_after'], 'MB')} after: {number(found['mb_retained'], 'MB')} kept "
            f"({number(found['mb_retained_since_the_first_tenth'], 'MB')} of them since the first "
            f"tenth of the sessions; {found['mb_per_1000_sessions']:+.1f} ± "
            f"{found['mb_per_1000_sessions_error']:.1f} MB for 1000 in the second half)",
            found["mb_retained"] < RETAINED_MB_MAX
            and not (found["failed"] or found["account_faults"] or found["streams_left_open"]),
        )
        for case, found in ((name, case["figures"]) for name, case in content["cases"].items())
    ]


# ---- 7: the cost of a partial


def by_session(content: Content) -> list[Finding]:
    out = []
    for model, found in content["models"].items():
        if "session" not in found:
            continue
        verdict, ends = found["session_verdict"], (found["session"][0], found["session"][-1])
        told = ", ".join(
            f"{number(end['ms_mean'], 'ms', 1)} after {number(end['minutes'])} minutes (in a new "
            f"session {number(end['new_ms_mean'], 'ms', 1)})"
            for end in ends
        )
        slope = f"{verdict['ms_per_minute']:+.3f} ± {verdict['ms_per_minute_error']:.3f}"
        out.append(Finding(f"{model}: {told}: {slope} ms a minute", verdict["reached"]))
    return out


def by_utterance(content: Content) -> list[Finding]:
    return [
        Finding(
            f"{model}: from {number(verdict['from_seconds'])} to {number(verdict['to_seconds'])} s "
            f"of speech a partial costs {verdict['partial_grows_by']:.1f} x as much, the encoder "
            f"{verdict['encoder_grows_by']:.1f} x",
            verdict["reached"],
        )
        for model, verdict in (
            (model, found["utterance_verdict"]) for model, found in content["models"].items()
        )
    ]


# ---- 8: stages


def stages(content: Content) -> list[Finding]:
    """`stages` by name, each with `ms_per_audio_second`."""
    times = {name: stage["ms_per_audio_second"] for name, stage in content["stages"].items()}
    total = sum(times.values())
    shares = {name: ms / total for name, ms in times.items() if name not in MODEL_STAGES}
    largest = max(shares, key=lambda name: shares[name])
    model = sum(times.get(name, 0.0) for name in MODEL_STAGES) / total
    return [
        Finding(
            f"the largest is {largest} with {number(100 * shares[largest], '%', 1)} of "
            f"{number(total, 'ms', 1)} for a second of audio; encode and decode together "
            f"{number(100 * model, '%', 1)}",
            shares[largest] <= OTHER_STAGE_SHARE_MAX,
        )
    ]
