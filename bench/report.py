"""All results in one document: what must be reached, what was measured, and where.

    python -m bench.report

Reads the JSON files in `results/` and writes `RESULTS.md` and the plots. Nothing is measured here:
the same results make the same document.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench import call_goals, container_goals, delay_goals, goals, page_goals, plots
from bench.goals import Finding, Goal
from bench.launch import ROOT

RESULTS = ROOT / "bench" / "results"
REPORT = ROOT / "bench" / "RESULTS.md"
MARKS = {True: "yes", False: "**no**", None: "–"}

Results = Mapping[str, Mapping[str, Any]]

GOALS = (
    Goal(
        1,
        "nano: at least 10 x the streams of WhisperLive",
        "peers",
        goals.peers,
    ),
    Goal(1, "with no worse word error than WhisperLive", "peer-words", goals.peer_words),
    Goal(1, "nano: at least 30 streams", "capacity", goals.capacity),
    Goal(
        2,
        "shapes, trimmed finals: tiny at least 14, base 7, small 2 streams, partials at most "
        "600 ms apart (p95)",
        "shapes",
        goals.shapes,
    ),
    Goal(
        3,
        "p99 of the first stream at 90 % of capacity: within 25 % of its value alone, and one "
        "batch's time",
        "admission",
        goals.first_stream,
    ),
    Goal(
        3,
        "beyond capacity: refused at once, in the protocol's own way, and nobody else notices",
        "admission",
        goals.refusal,
    ),
    Goal(
        3,
        "the figure of how many more fit: within 20 % of the capacity",
        "admission",
        goals.admission_figure,
    ),
    Goal(4, "500 silent streams: under 60 % of a core", "idle", goals.silent),
    Goal(4, "500 idle sockets: under 5 % of a core and 150 MB", "idle", goals.idle),
    Goal(5, "file lane full: live p95 moves by less than 20 %", "beside", goals.beside),
    Goal(5, "files alone: at least 1.3 x `BatchedInferencePipeline`", "files", goals.files),
    Goal(5, "an hour's file as a job: under 150 MB more memory", "long-job", goals.long_job),
    Goal(6, "30 minutes at 80 % of capacity: no lag slope", "soak", goals.lag_slope),
    Goal(6, "less than 50 MB kept after 1000 sessions", "sessions", goals.retained),
    Goal(7, "a partial's cost does not depend on the session's length", "growth", goals.by_session),
    Goal(
        7,
        "a partial's cost grows with the utterance only as the encoder's",
        "growth",
        goals.by_utterance,
    ),
    Goal(
        8,
        "no stage outside encode and decode over 15 % of the busy time",
        "stages",
        goals.stages,
    ),
    Goal(
        9,
        "30 calls of Twilio's: none dropped, words and partials p95 at most 800 ms late",
        "load-twilio",
        call_goals.calls,
    ),
    Goal(10, "microphone to partial on the page: at most 600 ms (p95)", "page", page_goals.shown),
    Goal(10, "the page: under 10 % of a core while streaming", "page", page_goals.cost),
    Goal(11, "a cut of 5 s loses no word, 20 times out of 20", "cuts", page_goals.cuts),
    Goal(11, "the same, of the page", "cuts-page", page_goals.cuts),
    Goal(
        12,
        "the batch container, nano, two hours: two workers at least 1.5 x as fast as one, with "
        "the same words and under 1 GB",
        "transcriber",
        container_goals.workers,
    ),
    Goal(
        13,
        "20 live streams of Speechmatics' protocol: every word final within `max_delay`",
        "delays",
        delay_goals.delays,
    ),
    Goal(
        13,
        "the same: a partial within 600 ms of a word's end (p95)",
        "delays",
        delay_goals.partials,
    ),
)


def read(folder: Path) -> dict[str, Mapping[str, Any]]:
    return {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.json"))
    }


def document(results: Results, missing_plots: Mapping[str, str]) -> str:
    return "\n".join(
        [
            "# Results",
            "",
            "Written by `python -m bench.report` from the files in `results/`; what each figure",
            "means is in [README.md](README.md). Times belong to the machine named below.",
            "",
            *goal_lines(results),
            *plot_lines(missing_plots),
            *source_lines(results),
        ]
    )


def goal_lines(results: Results) -> Iterator[str]:
    yield from ("## Goals", "", "| | goal | measured | reached |", "|---|---|---|---|")
    for goal in GOALS:
        content = results.get(goal.result)
        findings = (
            goal.findings(content)
            if content is not None
            else [Finding(f"not yet measured (`{goal.result}.json`)")]
        )
        for place, finding in enumerate(findings):
            text = goal.text if place == 0 else ""
            row = (str(goal.number) if text else "", text, finding.figure, MARKS[finding.reached])
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def plot_lines(missing: Mapping[str, str]) -> Iterator[str]:
    yield from ("## Plots", "")
    for name in plots.PLOTS:
        if name in missing:
            yield from (f"{name}: {missing[name]}.", "")
        else:
            yield from (f"![{name}](results/plots/{name}.svg)", "")


def source_lines(results: Results) -> Iterator[str]:
    """Where each result comes from."""
    yield from ("## Measurements", "")
    yield from ("| file | command | date | commit | machine | load before |", "|" + "---|" * 6)
    for name, content in results.items():
        machine = content.get("machine", {})
        command = machine.get("command")
        row = (
            f"[{name}.json](results/{name}.json)",
            f"`python {command}`" if command else "not recorded",
            str(machine.get("date", "not recorded"))[:16].replace("T", " "),
            f"`{machine.get('commit')}`",
            f"{machine.get('cpu')}, {machine.get('cores')} cores, {machine.get('memory_gb')} GB",
            " / ".join(f"{load:g}" for load in machine.get("load_before", [])),
        )
        yield f"| {' | '.join(row)} |"
    yield from ("", "A `+` after a commit: files had been changed since.", "")
    yield from versions(results)


def versions(results: Results) -> Iterator[str]:
    """Of the libraries, where they differ by result the newest result's."""
    machines = [c["machine"] for c in results.values() if "versions" in c.get("machine", {})]
    if machines:
        newest = max(machines, key=lambda machine: str(machine.get("date", "")))
        listed = ", ".join(f"{name} {number}" for name, number in newest["versions"].items())
        yield f"Python {newest.get('python')}; {listed}; {newest.get('system')}."
        yield ""


def draw_plots(results: Results, folder: Path) -> dict[str, str]:
    """Why each plot is missing that is. An older one does not stay in its place."""
    missing = {}
    for name, (result, draw) in plots.PLOTS.items():
        path = folder / f"{name}.svg"
        path.unlink(missing_ok=True)
        if result not in results:
            missing[name] = f"not yet measured (`{result}.json`)"
            continue
        try:
            plots.save(path, draw, results[result])
        except (KeyError, IndexError, TypeError) as error:
            missing[name] = f"`{result}.json` lacks what is drawn: {error!r}"
    return missing


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of JSON files")
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args(arguments)
    results = read(given.results)
    missing = draw_plots(results, given.results / "plots")
    given.out.write_text(document(results, missing).rstrip() + "\n", encoding="utf-8")
    print(f"wrote {given.out}")


if __name__ == "__main__":
    main(sys.argv[1:])
