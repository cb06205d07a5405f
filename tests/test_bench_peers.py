"""Installing and starting other servers, and what is said of the comparison."""

import argparse
import sys
from pathlib import Path

import pytest

from bench.environments import Environment, NotInstalled
from bench.launch import Launch, started
from bench.peer_servers import PEERS, Peer
from bench.peers import OURS, Comparison, Outcome, impersonal, print_trials, verdict
from tests.conftest import free_port

BROKEN = Environment("broken", (("--no-index", "not-a-package"),))


def outcome(protocol: str, partials: list[int], whole: list[int]) -> Outcome:
    return Outcome(protocol, partials=partials, whole=whole)


# ---- environments


async def test_what_cannot_be_installed_is_told_with_pips_reason(tmp_path: Path) -> None:
    with pytest.raises(NotInstalled, match="No matching distribution found for not-a-package"):
        await BROKEN.python(tmp_path)


async def test_an_environment_is_made_once(tmp_path: Path) -> None:
    environment = Environment("empty", ())
    python = await environment.python(tmp_path)
    mark = python.parents[1] / "mark"
    mark.touch()
    assert await environment.python(tmp_path) == python
    assert mark.exists()


# ---- starting


async def test_a_server_that_ends_at_once_is_told_with_its_log() -> None:
    launch = Launch([sys.executable, "-c", "raise SystemExit('no such model')"], free_port())
    with pytest.raises(RuntimeError, match="no such model"):
        async with started(launch):
            pass


async def test_a_peer_that_fails_is_left_out_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = argparse.Namespace(
        seconds=1, seed=1, environments=tmp_path, model="m", threads=1, first=1, most=1, offline=0
    )
    comparison = Comparison(given, [])
    peer = Peer("broken", "whisperlive", BROKEN, lambda model, port: [])
    await comparison.visit(peer)
    await comparison.visit(peer)
    print_trials(comparison.outcomes)
    assert "not-a-package" in str(comparison.outcomes["broken"].error)
    assert capsys.readouterr().out.count("broken is left out") == 1


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peers_run_outside_of_the_checkout_on_the_given_model(peer: Peer, tmp_path: Path) -> None:
    launch = peer.launch(tmp_path / "bin" / "python", "models/nano", 2)
    assert launch.folder == tmp_path
    assert str(Path("models/nano").absolute()) in " ".join(launch.command)
    assert launch.environment["OMP_NUM_THREADS"] == "2"


# ---- the verdict


def test_our_worst_round_is_compared_with_the_best_of_whisperlive() -> None:
    outcomes = {
        OURS: outcome("native", [92, 84], [80, 88]),
        "one": outcome("whisperlive", [2, 3], [0, 1]),
        "two": outcome("whisperlive", [2, 2], [0, 0]),
        "kit": outcome("whisperlivekit", [9, 9], [9, 9]),
    }
    assert verdict(outcomes) == {
        "partials": {"ours": 84, "whisperlive": 3, "ratio": 28.0},
        "whole": {"ours": 80, "whisperlive": 1, "ratio": 80.0},
    }


def test_there_is_no_ratio_to_nothing() -> None:
    outcomes = {OURS: outcome("native", [84], [84]), "one": outcome("whisperlive", [0], [])}
    assert verdict(outcomes)["partials"] == {"ours": 84, "whisperlive": 0, "ratio": None}
    assert verdict(outcomes)["whole"] == {"ours": 84, "whisperlive": None, "ratio": None}


def test_results_do_not_say_where_the_checkout_lies() -> None:
    root = Path(__file__).parents[1]
    assert impersonal(f"{root}/tests/models/nano") == "./tests/models/nano"
