"""Three cases of the chaos test, one of each topology; `make test-chaos` runs thirty."""

from __future__ import annotations

import pytest

from tests.chaos.draw import draw
from tests.chaos.run import run
from tests.conftest import Counts

QUICK = (0, 1, 2)


@pytest.mark.parametrize("seed", QUICK, ids=lambda seed: f"{seed} {draw(seed).fault}")
def test_a_release_hit_by_a_fault_loses_no_request_that_the_fault_does_not_excuse_and_is_completed_by_running_again(seed: int, counts: Counts) -> None:
    outcome = run(seed)
    counts.add("requests under chaos", outcome.verdict.requests)
    counts.add("lost", len(outcome.verdict.lost))
    counts.add("excused by the fault", len(outcome.verdict.excused))
    assert not outcome.wrong, f"\n{outcome}"
