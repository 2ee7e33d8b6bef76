"""Two cases of the chaos test, of two topologies, side by side; `make test-chaos` runs thirty."""

from __future__ import annotations

import pytest

from tests.chaos.draw import draw
from tests.chaos.run import Outcome, run_all
from tests.conftest import Counts

QUICK = (11, 79)  # SIGKILL, a host disconnected, on small fleets


@pytest.fixture(scope="module")
def outcomes() -> dict[int, Outcome]:
    return {outcome.case.seed: outcome for outcome in run_all(QUICK, at_once=len(QUICK))}


def test_the_cases_are_of_different_topologies() -> None:
    assert len({draw(seed).topology for seed in QUICK}) == len(QUICK)


@pytest.mark.full  # thirty of them: make test-chaos
@pytest.mark.parametrize("seed", QUICK, ids=[f"{seed} {draw(seed).fault}" for seed in QUICK])
def test_a_release_hit_by_a_fault_loses_no_request_that_the_fault_does_not_excuse_and_is_completed_by_running_again(
    seed: int, outcomes: dict[int, Outcome], counts: Counts
) -> None:
    outcome = outcomes[seed]
    counts.add("requests under chaos", outcome.verdict.requests)
    counts.add("lost", len(outcome.verdict.lost))
    counts.add("excused by the fault", len(outcome.verdict.excused))
    assert not outcome.wrong, f"\n{outcome}"
