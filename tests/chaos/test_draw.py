"""The draw: the same seed is the same case, and a draw of thirty has everything."""

from __future__ import annotations

import pytest

from tests.chaos.draw import BALANCERS, BROKEN_RELEASE, DEADLY_FOR_MEMBERS, FAULTS, OWN, STEPS, TOPOLOGIES, Case, draw
from tests.chaos.run import SEEDS

MANY = [draw(seed) for seed in range(2000)]


def test_a_seed_is_always_the_same_case() -> None:
    assert [draw(seed) for seed in range(50)] == MANY[:50]
    assert len({str(case).partition(":")[2] for case in MANY[:100]}) > 90, "seeds that say the same test the same"


def test_each_dozen_of_seeds_has_each_fault_once() -> None:
    for first in range(0, 120, len(FAULTS)):
        assert {case.fault for case in MANY[first : first + len(FAULTS)]} == set(FAULTS)


def test_the_thirty_seeds_have_every_topology_fault_policy_and_width() -> None:
    cases = [draw(seed) for seed in SEEDS]
    assert len(set(SEEDS)) == 30
    assert {case.fault for case in cases} == set(FAULTS)
    assert {case.topology for case in cases} == set(TOPOLOGIES)
    assert {case.on_failure for case in cases} == {"stop", "host", "fleet"}
    assert {case.serial for case in cases} == {1, 2, "50%"}
    assert {case.slots for case in cases} == {1, 2}
    assert {case.stop for case in cases} == {"graceful", "abrupt"}


def test_moments_are_at_every_step_and_at_any_time() -> None:
    assert {case.moment.step for case in MANY} == {*STEPS, ""}
    assert all(1 <= case.moment.nth <= len(case.members) for case in MANY if case.moment.step)
    assert all(0 < case.moment.seconds <= 9 for case in MANY if not case.moment.step)


def test_the_target_is_a_host_that_the_fault_can_hit() -> None:
    for case in MANY:
        allowed = {
            **dict.fromkeys(BROKEN_RELEASE, case.members),
            **dict.fromkeys(DEADLY_FOR_MEMBERS, case.app_hosts),
            "balancer disconnected": case.balancer_hosts,
            "nginx restarted": case.entries,
            "ssh lost": case.app_hosts + case.balancer_hosts,
        }
        assert case.target in allowed.get(case.fault, ("",)), str(case)


def _width(case: Case) -> int:
    return max(1, int(case.serial.rstrip("%")) * case.apps // 100) if isinstance(case.serial, str) else min(case.serial, case.apps)


def test_somebody_is_left_to_serve_whatever_is_hit() -> None:
    for case in MANY:
        hit = case.fault in DEADLY_FOR_MEMBERS
        assert case.topology == OWN or (case.apps - _width(case) - hit) * case.slots >= 1, str(case)


def test_the_floor_never_forbids_the_release_itself() -> None:
    for case in MANY:
        for host in case.entries:
            out = _width(case) if host in case.balancer_hosts else 1
            assert 1 <= case.floor(host) <= len(case.pool(host)) - out, str(case)


@pytest.mark.parametrize("case", MANY[:12], ids=lambda case: case.fault)
def test_a_case_says_in_one_line_what_it_is(case: Case) -> None:
    text = str(case)
    assert text.startswith(f"seed {case.seed}: {case.apps} app hosts x {case.slots} slot")
    assert "\n" not in text and case.fault in text and (case.target in text)
    assert ("balancers" in text) == (case.topology != OWN)
    assert ("for " in text or "until the run" in text) == ("disconnected" in case.fault)
    assert case.topology != BALANCERS or "own nginx" not in text
