"""The figures of a run, the medians of several runs, and how both are shown."""

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import metrics
from bench.metrics import WordErrors, percentile
from bench.recordings import SAMPLE_RATE, Script
from bench.trace import Trace

Figures = dict[str, float]
Session = tuple[Script, Trace]

SHARES = (50, 95, 99)


def spread(name: str, values: Iterable[float | None]) -> Figures:
    """Percentiles of the values there are, and how many there are not."""
    values = list(values)
    there = [value for value in values if value is not None]
    figures = {f"{name}_ms_p{share}": percentile(there, share) for share in SHARES}
    return {**figures, f"{name}_none": float(len(values) - len(there))}


def session_figures(sessions: Sequence[Session]) -> Figures:
    """Everything that can be said of some sessions from what their clients saw."""
    return {
        **latency_figures(sessions),
        **lag_figures([trace for _, trace in sessions]),
        **text_figures(sessions),
        **loss_figures(sessions),
    }


def latency_figures(sessions: Sequence[Session]) -> Figures:
    words = [metrics.word_latencies(*session) for session in sessions]
    settled = [metrics.settled_latencies(*session) for session in sessions]
    stable = [metrics.word_latencies(*session, stable=True) for session in sessions]
    first = [metrics.first_partial_latencies(*session) for session in sessions]
    final = [metrics.final_latencies(*session) for session in sessions]
    gaps = [metrics.partial_gaps(*session) for session in sessions]
    points = [
        (word.end / 60, latency)
        for (script, _), latencies in zip(sessions, words, strict=True)
        for word, latency in zip(script.words, latencies, strict=True)
        if latency is not None
    ]
    gradient, error = metrics.slope(points)
    return {
        **spread("word", (latency for each in words for latency in each)),
        **spread("settled_word", (latency for each in settled for latency in each)),
        **spread("stable_word", (latency for each in stable for latency in each)),
        "stable_word_ms_max": max(filter(None, chain(*stable)), default=math.nan),
        **spread("first_partial", (latency for each in first for latency in each)),
        **spread("final", (latency for each in final for latency in each)),
        **spread("partial_gap", (gap for each in gaps for gap in each)),
        "lag_slope_ms_per_minute": round(gradient, 2),
        "lag_slope_error_ms_per_minute": round(error, 2),
    }


def lag_figures(traces: Sequence[Trace]) -> Figures:
    """What the server itself says: since the audio arrived, and since the end was decided."""
    shown = [hypothesis for trace in traces for hypothesis in trace.shown]
    seconds = sum(trace.sent_samples for trace in traces) / SAMPLE_RATE
    partials = [hypothesis.lag_ms for hypothesis in shown if not hypothesis.is_final]
    figures = {
        **spread("partial_lag", partials),
        **spread("decision_to_final", (h.lag_ms for h in shown if h.is_final)),
        **spread("client_lateness", (late for trace in traces for late in trace.lateness_ms)),
        "partials_per_second": round(len(partials) / max(seconds, 1), 2),
    }
    return {name: value for name, value in figures.items() if not name.endswith("_none")}


def text_figures(sessions: Sequence[Session]) -> Figures:
    errors = sum((metrics.session_errors(*session) for session in sessions), WordErrors())
    flicker = [metrics.flicker(trace) for _, trace in sessions]
    word_flicker = [metrics.word_flicker(trace) for _, trace in sessions]
    return {
        "word_error_percent": round(errors.rate_percent, 2),
        "words": float(errors.words),
        "words_substituted": float(errors.substituted),
        "words_deleted": float(errors.deleted),
        "words_inserted": float(errors.inserted),
        "flicker": round(statistics.fmean(flicker), 3) if flicker else math.nan,
        "word_flicker": round(statistics.fmean(word_flicker), 3) if word_flicker else math.nan,
    }


def loss_figures(sessions: Sequence[Session]) -> Figures:
    """What must be zero; and how much of the audio was transcribed."""
    traces = [trace for _, trace in sessions]
    accounts = [trace.account for trace in traces if trace.account]
    received = sum(account["received"] for account in accounts)
    return {
        "finals_missing": float(sum(metrics.missing_finals(*session) for session in sessions)),
        "promises_broken": float(sum(metrics.broken_promises(trace) for trace in traces)),
        "out_of_order": float(sum(metrics.out_of_order(trace) for trace in traces)),
        "account_faults": float(sum(len(metrics.account_faults(trace)) for trace in traces)),
        "dropped_seconds": sum(account["dropped"] for account in accounts) / SAMPLE_RATE,
        "transcribed_share": round(
            sum(account["transcribed"] for account in accounts) / max(1, received), 3
        ),
        "warnings": float(sum(len(trace.warnings) for trace in traces)),
        "errors": float(sum(len(trace.errors) for trace in traces)),
        "sessions_not_closed_normally": float(sum(t.close_code != 1000 for t in traces)),
    }


def medians(runs: Sequence[Mapping[str, float]]) -> Figures:
    """The median of each figure over the runs that have it."""
    names = dict.fromkeys(name for run in runs for name in run)
    return {
        name: statistics.median(values) if values else math.nan
        for name in names
        for values in [[run[name] for run in runs if name in run and not math.isnan(run[name])]]
    }


def print_table(title: str, columns: Mapping[str, Mapping[str, float]]) -> None:
    """Figures as rows, one column for each of the named sets."""
    table = Table("figure", *columns, title=title, title_justify="left")
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    for name in names:
        cells = (figures.get(name, math.nan) for figures in columns.values())
        table.add_row(name, *("–" if math.isnan(cell) else f"{cell:g}" for cell in cells))
    Console(width=max(80, 40 + 16 * len(columns))).print(table)


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_jsonable(content), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"wrote {path}")


def _jsonable(value: Any) -> Any:
    """JSON has no NaN: a figure that there is not is null."""
    match value:
        case float() if math.isnan(value):
            return None
        case Mapping():
            return {str(key): _jsonable(item) for key, item in value.items()}
        case list() | tuple():
            return [_jsonable(item) for item in value]
        case _:
            return value
