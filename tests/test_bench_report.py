"""The document of all results: it names what is missing and invents nothing."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import call_goals, container_goals, goals, page_goals, plots, report
from bench.tries import Try

MACHINE = {
    "date": "2026-01-02T03:04:05+00:00",
    "cpu": "Test CPU",
    "cores": 2,
    "memory_gb": 8.0,
    "commit": "abc",
    "load_before": [0.1, 0.2, 0.3],
    "command": "-m bench.capacity",
}
HELD = {"word_ms_p95": 600.0, "final_ms_p95": 550.0, "word_error_percent": 0.5}


def capacity(streams: int) -> dict[str, Any]:
    return {"machine": MACHINE, "capacity": streams, "tried": {str(streams): HELD}}


def growth() -> dict[str, Any]:
    def point(**more: float) -> dict[str, float]:
        means = {"ms_mean": 5.0, "new_ms_mean": 4.0}
        return {"ms_p50": 5.0, "encode_ms": 2.0, **means, **more}

    return {
        "machine": MACHINE,
        "models": {
            "nano": {
                "session": [point(minutes=1.0), point(minutes=30.0)],
                "session_verdict": {
                    "ms_per_minute": 0.0,
                    "ms_per_minute_error": 0.1,
                    "reached": True,
                },
                "utterance": [point(seconds=2.0), point(seconds=8.0)],
                "utterance_verdict": {
                    "from_seconds": 2,
                    "to_seconds": 8,
                    "partial_grows_by": 5.0,
                    "encoder_grows_by": 4.0,
                    "reached": False,
                },
            }
        },
    }


def written(folder: Path, **results: Any) -> str:
    for name, content in results.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    report.main(["--results", str(folder), "--out", str(folder / "RESULTS.md")])
    return (folder / "RESULTS.md").read_text(encoding="utf-8")


def rows(text: str, part: str) -> list[str]:
    return [line for line in text.splitlines() if part in line]


def test_without_results_every_goal_and_plot_is_not_yet_measured(tmp_path: Path) -> None:
    text = written(tmp_path)
    assert len(rows(text, "not yet measured")) == len(report.GOALS) + len(plots.PLOTS)
    assert not list(tmp_path.glob("plots/*.svg"))
    assert "yes" not in text


@pytest.mark.parametrize(("streams", "reached"), [(30, "yes"), (29, "**no**")])
def test_a_goal_is_reached_or_not(tmp_path: Path, streams: int, reached: str) -> None:
    text = written(tmp_path, capacity=capacity(streams))
    [row] = rows(text, "at least 30 streams")
    assert f"{streams} streams: word p95 600 ms" in row
    assert row.endswith(f"| {reached} |")


def test_a_measurement_has_its_command_machine_and_commit(tmp_path: Path) -> None:
    [row] = rows(written(tmp_path, capacity=capacity(40)), "[capacity.json]")
    assert "`python -m bench.capacity`" in row
    assert "2026-01-02 03:04 | `abc` | Test CPU, 2 cores, 8.0 GB | 0.1 / 0.2 / 0.3" in row


def test_each_finding_of_a_goal_has_a_row(tmp_path: Path) -> None:
    text = written(tmp_path, growth=growth())
    assert rows(text, "a partial costs 5.0 x as much, the encoder 4.0 x")[0].endswith("**no** |")
    assert rows(text, "5.0 ms after 30 minutes (in a new session 4.0 ms)")[0].endswith("| yes |")


def test_a_result_in_another_form_is_told_and_is_neither_reached_nor_missed(
    tmp_path: Path,
) -> None:
    text = written(tmp_path, capacity={"machine": MACHINE, "found": 12})
    [row] = rows(text, "capacity.json lacks what is judged: KeyError('capacity')")
    assert row.endswith("| – |")


def test_an_old_plot_does_not_outlive_its_result(tmp_path: Path) -> None:
    written(tmp_path, growth=growth())
    drawn = tmp_path / "plots" / "partial-session.svg"
    assert drawn.exists()
    text = written(tmp_path, growth={"machine": MACHINE})
    assert "partial-session: `growth.json` lacks what is drawn" in text
    assert not drawn.exists()


def test_the_same_results_make_the_same_bytes(tmp_path: Path) -> None:
    def everything() -> list[bytes]:
        written(tmp_path, growth=growth(), capacity=capacity(40))
        paths = [tmp_path / "RESULTS.md", *sorted(tmp_path.glob("plots/*.svg"))]
        return [path.read_bytes() for path in paths]

    first = everything()
    assert len(first) == 4
    assert everything() == first


def peers() -> dict[str, Any]:
    def server(protocol: str, streams: int) -> dict[str, Any]:
        tried = [{str(max(1, streams)): {"word_ms_p95": 500.0}}]
        return {"protocol": protocol, "partials": [streams], "tried": tried}

    verdict = {
        "partials": {"ours": 40, "whisperlive": 5},
        "whole": {"ours": 30, "whisperlive": 0},
    }
    servers = {
        "ours": server("native", 40),
        "WhisperLive": server("whisperlive", 3),
        "WhisperLiveKit": server("whisperlivekit", 0),
        "another": {"protocol": "whisperlive", "partials": [], "tried": [], "error": "no start"},
    }
    return {"machine": MACHINE, "verdict": verdict, "servers": servers}


def peer_words(ours: float, theirs: float) -> dict[str, Any]:
    """With the word errors of ours and of WhisperLive's better form."""

    def server(protocol: str, error: float) -> dict[str, Any]:
        wrong = {"substituted": 10 * error - 1, "deleted": 1.0, "inserted": 0.0}
        figures = {"words": 1000.0, **{f"words_{kind}": count for kind, count in wrong.items()}}
        return {"protocol": protocol, "figures": figures}

    servers = {
        "ours": server("native", ours),
        "WhisperLive": server("whisperlive", 9.0),
        "WhisperLive, batched": server("whisperlive", theirs),
        "WhisperLiveKit": server("whisperlivekit", 0.1),
    }
    return {"machine": MACHINE, "servers": servers}


def test_peers_are_judged_by_both_levels(tmp_path: Path) -> None:
    text = written(tmp_path, peers=peers())
    assert rows(text, "40 streams against 5 of WhisperLive: 8.0 x")[0].endswith("| **no** |")
    assert rows(text, "30 streams against none of WhisperLive: 30.0 x")[0].endswith("| yes |")
    assert (tmp_path / "plots" / "peers.svg").exists()


@pytest.mark.parametrize(("ours", "reached"), [(2.0, True), (3.0, None), (3.3, False)])
def test_no_form_of_whisperlive_may_surely_have_fewer_wrong_words(
    ours: float, reached: bool | None
) -> None:
    [errors] = goals.peer_words(peer_words(ours, 2.0))
    assert errors.reached is reached
    assert "0.1 % (1 of 1000) WhisperLiveKit" in errors.figure


def test_shapes_are_judged_by_trimmed_finals(tmp_path: Path) -> None:
    def streams(trimmed: int, full: int) -> dict[str, Any]:
        return {"capacity": {"trimmed": {"streams": trimmed}, "full": {"streams": full}}}

    models = {"tiny": streams(14, 4), "base": streams(6, 1), "medium": {}}
    text = written(tmp_path, shapes={"machine": MACHINE, "models": models})
    assert rows(text, "14 streams, at least 14 (4 with full")[0].endswith("| yes |")
    assert rows(text, "6 streams, at least 7 (1 with full")[0].endswith("| **no** |")
    assert rows(text, "small: not yet measured")[0].endswith("| – |")
    assert (tmp_path / "plots" / "shapes.svg").exists()


@pytest.mark.parametrize(
    ("more", "failed", "reached"), [(149, 0, True), (150, 0, False), (9, 1, False)]
)
def test_a_long_job_takes_little_memory_and_ends(more: float, failed: float, reached: bool) -> None:
    figures = {"audio_s": 3600.0, "mb_before": 300.0, "mb_max": 300.0 + more, "mb_growth": more}
    [found] = goals.long_job({"figures": {**figures, "failed": failed, "times_real_time": 40.0}})
    assert found.reached is reached


@pytest.mark.parametrize(("vad", "reached"), [(15.0, True), (16.0, False)])
def test_a_stage_beside_the_model_has_a_share_at_most(vad: float, reached: bool) -> None:
    times = {"encode": 60.0, "decode": 40.0 - vad, "vad": vad}
    content = {"stages": {name: {"ms_per_audio_second": ms} for name, ms in times.items()}}
    [found] = goals.stages(content)
    assert found.reached is reached
    assert found.figure.startswith(f"the largest is vad with {vad:.1f} %")


def test_a_figure_that_there_is_not_is_written_as_none() -> None:
    assert goals.number(None, "ms") == "none"
    assert goals.number(float("nan")) == "none"
    assert goals.number(12.34, "ms", 1) == "12.3 ms"


@pytest.mark.parametrize(
    ("streams", "changed", "reached"),
    [
        (30, {}, True),
        (29, {}, False),
        (30, {"sessions_not_closed_normally": 1.0}, False),
        (30, {"errors": 1.0}, False),
        (30, {"account_faults": 1.0}, False),
        (30, {"word_ms_p95": 801.0}, False),
        (30, {"partial_lag_ms_p95": 801.0}, False),
    ],
)
def test_calls_are_all_carried_and_in_time(
    streams: int, changed: dict[str, float], reached: bool
) -> None:
    figures = {
        "sessions_not_closed_normally": 0.0,
        "errors": 0.0,
        "account_faults": 0.0,
        "word_ms_p95": 200.0,
        "partial_lag_ms_p95": 100.0,
        "word_error_percent": 1.0,
        **changed,
    }
    (found,) = call_goals.calls({"load": {"streams": streams}, "median": figures})
    assert found.reached is reached


@pytest.mark.parametrize(
    ("changed", "reached"),
    [
        ({}, [True, True]),
        ({"word_ms_p95": 520.0}, [False, True]),
        ({"first_partial_ms_p95": 520.0}, [True, False]),
        ({"not_on_the_page": 1.0}, [False, False]),
    ],
)
def test_the_page_shows_in_time_what_the_microphone_hears(
    changed: dict[str, float], reached: list[bool]
) -> None:
    figures = {
        "word_ms_p95": 160.0,
        "first_partial_ms_p95": 170.0,
        "microphone_ms_max": 84.0,
        "not_on_the_page": 0.0,
        **changed,
    }
    assert [found.reached for found in page_goals.shown({"figures": figures})] == reached


@pytest.mark.parametrize(("cores", "reached"), [(0.08, True), (0.1, False)])
def test_the_page_costs_little(cores: float, reached: bool) -> None:
    figures = {"page_cpu_cores_streaming": cores, "browser_cpu_cores_streaming": 0.14}
    (found,) = page_goals.cost({"figures": figures})
    assert found.reached is reached


@pytest.mark.parametrize(
    ("changed", "seconds", "reached"),
    [
        ({}, 5, True),
        ({"all_words": 19}, 5, False),
        ({"tries": 19, "all_words": 19}, 5, False),
        ({"words": 0}, 5, False),
        ({}, 4, False),
    ],
)
def test_a_cut_loses_no_word(changed: dict[str, int], seconds: float, reached: bool) -> None:
    figures = {"tries": 20, "all_words": 20, "resumed": 20, "words": 23, "away_seconds_max": 9.0}
    content = {"client": "page", "seconds": seconds, "figures": {**figures, **changed}}
    (found,) = page_goals.cuts(content)
    assert found.reached is reached


def test_the_time_away_is_from_a_loss_to_what_comes_after() -> None:
    found = Try("reset", 1.0)
    found.note([("lost", 2.0), ("resumed", 4.5), ("lost", 10.0), ("restarted", 11.0)])
    assert (found.states[-1], found.away_seconds) == ("restarted", 3.5)


@pytest.mark.parametrize(
    ("changed", "reached"),
    [
        ({}, True),
        ({"faster_by_min": 1.49}, False),
        ({"differs_from_first": 1.0}, False),
        ({"peak_mb": 1000.0}, False),
    ],
)
def test_workers_are_faster_in_every_round(changed: dict[str, float], reached: bool) -> None:
    figures = {"faster_by": 1.7, "faster_by_min": 1.6, "faster_by_max": 1.8}
    two = {**figures, "differs_from_first": 0.0, "results": 9.0, "peak_mb": 500.0, **changed}
    slower = {**two, "faster_by_min": 1.2}
    told = {"all cores": {"2": slower}, "a core for each": {"2": two}}
    apart, together = container_goals.workers({"minutes": 119.0, "workers": told})
    assert (apart.reached, together.reached) == (reached, False)
