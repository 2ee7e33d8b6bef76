"""Releases that running processes take in place: what the planner makes of what was seen, on simulated fleets."""

from __future__ import annotations

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _lanes

from tests.unit.simulation import NEW, OLD, Faults, Slot, fleet, two_slots
from tests.unit.test_planner import everyone_serves, names, releases, run

IN_PLACE = ["point", "reload", "check"]


@pytest.mark.parametrize("balancers", [(), ("lb1", "lb2")])
def test_a_member_takes_the_release_without_leaving_a_balancer(balancers: tuple[str, ...]) -> None:
    there = fleet({"app1": two_slots(), "app2": two_slots()}, balancers, local=not balancers, strategy="reload")
    done = run(there)
    assert done.ok and done.reloads == 0
    assert {tuple(names(there, member)) for member in releases(there)} == {tuple(IN_PLACE)}
    assert set(releases(there).values()) == {NEW} and everyone_serves(there)
    assert all(there.slot(member).marks[NEW] == "good" for member in releases(there))
    assert not run(there).changed


def test_it_needs_no_other_member_to_serve_meanwhile() -> None:
    there = fleet({"app1": two_slots()}, min_serving=2, strategy="reload")
    assert run(there).ok and set(releases(there).values()) == {NEW}


def test_who_cannot_is_swapped_and_the_others_are_not() -> None:
    there = fleet({"app1": two_slots(green=Slot(unreloadable="its environment (TOKEN) changed"))}, strategy="reload")
    assert run(there).ok
    assert "stop" in names(there, "app1/green") and "reload" not in names(there, "app1/green")
    assert names(there, "app1/blue") == IN_PLACE


def test_a_dead_member_and_an_ill_one_are_started_anew() -> None:
    there = fleet({"app1": two_slots(blue=Slot(running=None, fatal=True), green=Slot(healthy=False))}, strategy="reload")
    assert run(there).ok
    assert "reload" not in names(there, "app1/blue") + names(there, "app1/green")


@pytest.mark.parametrize("balancers", [(), ("lb1",)])
def test_what_was_in_vain_is_swapped_in_the_same_run_and_not_tried_again_on_that_host(balancers: tuple[str, ...]) -> None:
    there = fleet({"app1": two_slots()}, balancers, local=not balancers, strategy="reload")
    there.faults = Faults(vain={"app1/green", "app1/blue"})
    done = run(there)
    assert done.ok and not done.failures
    assert names(there, "app1/green")[:2] == IN_PLACE[:2] and "stop" in names(there, "app1/green")
    assert "reload" not in names(there, "app1/blue")
    assert set(releases(there).values()) == {NEW} and everyone_serves(there)
    assert not run(there).changed


def test_a_release_that_is_ill_in_place_goes_back_by_a_swap_and_no_other_member_takes_it() -> None:
    there = fleet({"app1": two_slots()}, strategy="reload")
    there.faults = Faults(bad={("app1/green", NEW)})
    assert not run(there).ok
    assert names(there, "app1/green") == [*IN_PLACE, "switch", "drain", "stop", "point", "start", "check", "enable"]
    assert releases(there) == {"app1/blue": OLD, "app1/green": OLD} and everyone_serves(there)


def test_the_report_shows_that_it_served_all_the_time() -> None:
    steps = [("point", 11.0, 0.1, "ok"), ("reload", 11.1, 2.0, "ok"), ("check", 13.1, 0.3, "ok")]
    events = [{"members": ["app1/blue"], "step": step, "start": start, "seconds": took, "outcome": outcome} for step, start, took, outcome in steps]
    seen = {"release": OLD, "pid": 7, "serving": True, "maintenance": ""}
    lane = _lanes.lanes(["app1/blue"], NEW, 10.0, 20.0, {"app1/blue": seen}, {"app1/blue": {**seen, "release": NEW}}, events, {}, {})["app1/blue"]
    assert [(span["state"], span["start"], span["release"]) for span in _lanes.spans(lane)] == [("serving", 10.0, OLD), ("serving", 13.1, NEW)]
    assert _lanes.result(lane, True) == "released" and _lanes.out(lane) == 0.0


def test_members_that_go_back_because_another_one_failed_are_swapped() -> None:
    """They are healthy on the new release and could go back in place, untested; out of the balancers first, a swap is what is known."""
    there = fleet({"app1": two_slots(), "app2": two_slots()}, strategy="reload")
    there.faults = Faults(bad={("app2/green", NEW)})
    assert not run(there, on_failure="fleet").ok
    assert set(releases(there).values()) == {OLD} and everyone_serves(there)
    assert names(there, "app1/blue") == [*IN_PLACE, "switch", "drain", "stop", "point", "start", "check", "enable"]
