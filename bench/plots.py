"""The plots beside RESULTS.md: small SVG files, the same bytes for the same results."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.goals import MODEL_STAGES, SHAPE_STREAMS_MIN

Content = Mapping[str, Any]
Draw = Callable[[Axes, Content], None]

SIZE = (6.4, 3.6)  # inches
GREY, RED = "#888888", "#c03030"
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "stentor",  # else ids are drawn at random
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.markersize": 3,
}


def save(path: Path, draw: Draw, content: Content) -> None:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.add_subplot(), content)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    # Lines that end in blanks would be the only ones in the repository.
    text = path.read_text(encoding="utf-8")
    path.write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n", encoding="utf-8")


def label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)


# ---- streams


def streams(axes: Axes, content: Content) -> None:
    _streams(axes, {"this server": content["tried"]})


def peers(axes: Axes, content: Content) -> None:
    """The last round of each server that could be measured."""
    servers = content["servers"].items()
    _streams(axes, {name: found["tried"][-1] for name, found in servers if found["tried"]})


def _streams(axes: Axes, tried: Mapping[str, Mapping[str, Content]]) -> None:
    """p95 of words against streams: a line for each system, its figures by the streams."""
    for name, runs in tried.items():
        counts = sorted(int(count) for count in runs)
        latencies = [runs[str(count)]["word_ms_p95"] for count in counts]
        axes.plot(counts, latencies, marker="o", label=name)
    axes.axhline(700, color=RED, linewidth=0.8, linestyle="--", label="700 ms")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylim(0, 1500)
    label(axes, "A word is shown after its end", "streams", "p95, ms")
    axes.legend()


def shapes(axes: Axes, content: Content) -> None:
    """Streams of each size, a bar for each way of making finals."""
    models = {name: m["capacity"] for name, m in content["models"].items() if "capacity" in m}
    kinds = list(dict.fromkeys(finals for found in models.values() for finals in found))
    width = 0.8 / max(1, len(kinds))
    for index, finals in enumerate(kinds):
        at = [place + (index + 0.5) * width - 0.4 for place in range(len(models))]
        counts = [found.get(finals, {}).get("streams", 0) for found in models.values()]
        bars = axes.bar(at, counts, 0.9 * width, label=f"{finals} finals")
        axes.bar_label(bars)
    for place, name in enumerate(models):
        if least := SHAPE_STREAMS_MIN.get(name):
            goal = "to be reached" if place == 0 else "_nolegend_"
            axes.hlines(least, place - 0.4, place + 0.4, RED, "--", linewidth=0.8, label=goal)
    axes.set_xticks(range(len(models)), list(models))
    label(axes, "Streams of models in Whisper's sizes", "", "streams")
    axes.legend()


def admission(axes: Axes, content: Content) -> None:
    """While a server fills: its streams, and how many it says would fit in all."""
    readings = content["readings"]
    axes.plot(column(readings, "at"), column(readings, "streams"), label="streams")
    known = [each for each in readings if each["streams_left"] is not None]
    fit = [each["streams"] + each["streams_left"] for each in known]
    if fit:
        axes.plot(column(known, "at"), fit, label="streams + streams left")
    capacity = content["capacity"]
    axes.axhspan(0.8 * capacity, 1.2 * capacity, color=GREY, alpha=0.15, label="capacity ± 20 %")
    axes.axhline(capacity, color=GREY, linewidth=0.8)
    axes.set_ylim(0)
    label(axes, "The admission figure while streams are added", "s", "streams")
    axes.legend()


def stages(axes: Axes, content: Content) -> None:
    """Time of each stage for a second of audio, the largest at the top."""
    times = sorted(content["stages"].items(), key=lambda item: item[1]["ms_per_audio_second"])
    costs = [stage["ms_per_audio_second"] for _, stage in times]
    total = sum(costs)
    colours = [GREY if name in MODEL_STAGES else "C0" for name, _ in times]
    bars = axes.barh([name for name, _ in times], costs, color=colours)
    axes.bar_label(bars, [f"{100 * cost / total:.0f} %" for cost in costs], padding=3)
    label(axes, "Where the time goes", "ms for a second of audio", "")


# ---- one partial


def partial_by_session(axes: Axes, content: Content) -> None:
    for model, found in content["models"].items():
        if points := found.get("session"):
            minutes = [point["minutes"] for point in points]
            for name, what in (("ms_mean", "this session"), ("new_ms_mean", "a new session")):
                axes.plot(minutes, column(points, name), marker="o", label=f"{model}, {what}")
    axes.set_xlim(0)
    axes.set_ylim(0)
    label(axes, "A partial's cost by the length of the session", "minutes", "mean, ms")
    axes.legend()


def partial_by_utterance(axes: Axes, content: Content) -> None:
    """Each relative to an utterance of 2 s, so that models of any size share the axes."""
    for index, (model, found) in enumerate(content["models"].items()):
        points = [point for point in found["utterance"] if point["seconds"] >= 2]
        seconds = column(points, "seconds")
        for name, what, dashes in (("ms_p50", "partial", "-"), ("encode_ms", "encoder", ":")):
            costs = column(points, name)
            axes.plot(
                seconds,
                [cost / costs[0] for cost in costs],
                dashes,
                color=f"C{index}",
                label=f"{model}, {what} ({costs[0]:.0f} ms at 2 s)",
            )
    axes.set_ylim(0)
    label(axes, "A partial's cost by the length of the utterance", "s", "times that at 2 s")
    axes.legend()


def column(points: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [point[name] for point in points]


# ---- half an hour


def soak(axes: Axes, content: Content) -> None:
    minutes = content["minutes"]
    at = column(minutes, "minute")
    for name in ("word_ms_p50", "word_ms_p95", "word_ms_p99"):
        axes.plot(at, column(minutes, name), label=name.removeprefix("word_ms_"))
    axes.set_xlim(0)
    label(axes, f"Words of {content['streams']} streams, by minute", "minute", "ms")
    axes.legend()


PLOTS: dict[str, tuple[str, Draw]] = {
    # The file's name: the result, and what draws it.
    "streams": ("capacity", streams),
    "peers": ("peers", peers),
    "shapes": ("shapes", shapes),
    "admission": ("admission", admission),
    "partial-session": ("growth", partial_by_session),
    "partial-utterance": ("growth", partial_by_utterance),
    "stages": ("stages", stages),
    "soak": ("soak", soak),
}
