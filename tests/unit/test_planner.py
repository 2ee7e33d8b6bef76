"""The planner and the runner against simulated fleets: the invariants, from every point of interruption."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _planner, _runner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Counts
from tests.unit import simulation
from tests.unit.simulation import NEW, OLD, CutOff, Fleet, Host, Slot, host, wish

EXAMPLES = int(os.environ.get("HOTSWAP_EXAMPLES", "300"))
many = settings(  # the same examples every day; make test-full brings a seed of its own
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="HOTSWAP_SEED" not in os.environ, database=None
)


@pytest.fixture(autouse=True, scope="module")
def fleets_counted(counts: Counts) -> Iterator[None]:
    yield
    counts.add("simulated runs", simulation.runs)


def run(fleet: Fleet) -> _runner.Result:
    simulation.runs += 1
    return _runner.swap(fleet.wishes, fleet, lambda _item: None)


def two_slots(**slots: Slot) -> Fleet:
    wished = wish("app1", ["blue", "green"], backups=["green"])
    return Fleet({"app1": host(wished, {"blue": Slot(), "green": Slot(), **slots})})


def members_in_order(fleet: Fleet) -> list[str]:
    return list(dict.fromkeys(step.member for step in fleet.done))


def releases(fleet: Fleet) -> dict[str, str | None]:
    return {f"{name}/{slot}": truth.running for name, here in fleet.hosts.items() for slot, truth in here.slots.items()}


def test_a_member_is_switched_away_drained_stopped_pointed_started_checked_and_enabled_in_this_order() -> None:
    fleet = two_slots()
    assert run(fleet).ok
    assert [step.name for step in fleet.done if step.member == "app1/green"] == ["switch", "drain", "stop", "point", "start", "check", "enable"]


def test_a_backup_member_is_swapped_before_its_primary() -> None:
    fleet = two_slots()
    run(fleet)
    assert members_in_order(fleet) == ["app1/green", "app1/blue"]


def test_a_dead_member_is_repaired_first_and_needs_no_wait() -> None:
    fleet = two_slots(blue=Slot(running=None, fatal=True, connections=0))
    run(fleet)
    assert members_in_order(fleet) == ["app1/blue", "app1/green"]
    assert [step.name for step in fleet.done if step.member == "app1/blue"] == ["switch", "point", "start", "check", "enable"]


def test_a_host_without_a_release_gets_its_first_one_without_a_wait() -> None:
    nothing = {"running": None, "current": None, "connections": 0}
    fleet = two_slots(blue=Slot(**nothing), green=Slot(**nothing))
    assert run(fleet).ok
    assert not {"drain", "stop"} & {step.name for step in fleet.done}


def test_a_second_run_does_nothing() -> None:
    fleet = two_slots()
    run(fleet)
    fleet.done.clear()
    result = run(fleet)
    assert result.ok and not result.changed and not fleet.done


def test_the_usual_release_needs_no_reload() -> None:
    assert run(two_slots()).reloads == 0


def test_a_pool_that_nobody_foresaw_is_declared_before_the_member_is_touched() -> None:
    wished = wish("app1", ["a", "b", "c"])
    fleet = Fleet({"app1": host(wished, out=["c"])})
    assert run(fleet).ok
    names = [step.name for step in fleet.done if step.member == "app1/a"]
    assert names[0] == "switch"
    assert all(
        names.index("declare") < names.index("switch") for names in [[s.name for s in fleet.done if s.member == m] for m in {"app1/b"}] if "declare" in names
    )


def test_a_changed_start_of_the_same_release_is_swapped_in() -> None:
    fleet = two_slots(blue=Slot(NEW, NEW, OLD, {NEW: "good"}), green=Slot(NEW, NEW, OLD, {NEW: "good"}, pending=True))
    assert run(fleet).ok
    assert members_in_order(fleet) == ["app1/green"]


def test_a_changed_start_that_fails_goes_back_to_the_start_it_had() -> None:
    fleet = two_slots(blue=Slot(NEW, NEW, OLD, {NEW: "good"}), green=Slot(NEW, NEW, OLD, {NEW: "good"}, pending=True))
    fleet.bad = {("app1/green", f"{NEW} with its new start")}
    result = run(fleet)
    assert not result.ok
    assert releases(fleet) == {"app1/blue": NEW, "app1/green": NEW}
    assert "app1/green" in fleet.hosts["app1"].serving


def test_a_member_that_boots_from_an_interrupted_run_is_not_restarted() -> None:
    fleet = two_slots(green=Slot(NEW, NEW, OLD, healthy=False, uptime=1.0, connections=0))
    fleet.hosts["app1"].serving = {"app1/blue"}
    run(fleet)
    assert [step.name for step in fleet.done if step.member == "app1/green"] == ["check", "enable"]


def test_a_member_that_hangs_on_the_wished_release_is_restarted() -> None:
    fleet = two_slots(blue=Slot(NEW, NEW, OLD, {NEW: "good"}), green=Slot(NEW, NEW, OLD, {NEW: "good"}, healthy=False))
    assert run(fleet).ok
    assert [step.name for step in fleet.done] == ["switch", "drain", "stop", "point", "start", "check", "enable"]


def test_a_failed_release_is_put_back_and_the_other_slot_is_never_touched() -> None:
    fleet = two_slots()
    fleet.bad = {("app1/green", NEW)}
    result = run(fleet)
    assert [failure.member for failure in result.failures] == ["app1/green"]
    assert members_in_order(fleet) == ["app1/green"]
    assert releases(fleet) == {"app1/blue": OLD, "app1/green": OLD}
    assert fleet.hosts["app1"].serving == {"app1/blue", "app1/green"}


def test_a_first_release_that_fails_stays_out_and_is_stopped() -> None:
    nothing = {"running": None, "current": None, "connections": 0}
    fleet = two_slots(blue=Slot(**nothing), green=Slot(**nothing))
    fleet.bad = {("app1/green", NEW)}
    assert not run(fleet).ok
    assert releases(fleet)["app1/green"] is None
    assert "app1/green" not in fleet.hosts["app1"].serving


def test_a_rollback_that_fails_is_not_rolled_back() -> None:
    fleet = two_slots()
    fleet.bad = {("app1/green", NEW), ("app1/green", OLD)}
    result = run(fleet)
    assert len(result.failures) == 2
    assert "app1/green" not in fleet.hosts["app1"].serving
    assert "could not be put back" in _runner.message(result, "shop", NEW)


def test_a_drain_that_fails_leaves_the_old_process_running_and_enabled() -> None:
    fleet = two_slots()
    fleet.fail = ("app1/green", "drain")
    run(fleet)
    assert releases(fleet)["app1/green"] == OLD
    assert "app1/green" in fleet.hosts["app1"].serving
    assert "stop" not in {step.name for step in fleet.done}


def test_the_capacity_of_a_host_is_not_undercut() -> None:
    wished = wish("app1", ["blue", "green"], min_serving=2)
    decision = _planner.plan([wished], {"app1": host(wished).seen()})
    assert isinstance(decision, _planner.Blocked)
    assert "bluegreen_min_serving is 2" in decision.reason


def test_hosts_come_in_inventory_order() -> None:
    hosts = {name: host(wish(name, ["blue", "green"], backups=["green"])) for name in ("web2", "web10", "web1")}
    fleet = Fleet(hosts)
    run(fleet)
    assert [member.split("/")[0] for member in members_in_order(fleet)] == ["web2", "web2", "web10", "web10", "web1", "web1"]


def test_the_plan_of_check_mode_is_what_the_run_does() -> None:
    fleet = two_slots()
    planned = _runner.preview(fleet.wishes, fleet.observe(fleet.wishes)).planned
    run(fleet)
    assert planned == fleet.done


# Random worlds.

slot = st.builds(
    Slot,
    running=st.sampled_from([None, OLD, NEW, "v0"]),
    current=st.sampled_from([None, OLD, NEW, "v0"]),
    previous=st.sampled_from([None, OLD, "v0", NEW]),
    marks=st.dictionaries(st.sampled_from([OLD, NEW, "v0"]), st.sampled_from(["good", "failed"]), max_size=3),
    pending=st.booleans(),
    healthy=st.booleans(),
    connections=st.integers(0, 3),
    uptime=st.sampled_from([0.5, 1000.0]),
    fatal=st.booleans(),
)


@st.composite
def hosts(draw: st.DrawFn, number: int) -> Host:
    name = f"app{number}"
    names = ["blue", "green", "red"][: draw(st.integers(2, 3))]
    backups = draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    wished = wish(name, names, sorted(backups), draw(st.integers(0, 1)))
    truth = {slot_name: draw(slot) for slot_name in names}
    for one in truth.values():
        if one.current is None:
            one.running = None
    return host(wished, truth, sorted(draw(st.sets(st.sampled_from(names)))))


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    return Fleet({f"app{number}": draw(hosts(number)) for number in range(draw(st.integers(1, 3)))})


def steps_needed(fleet: Fleet) -> int:
    return sum(len(item.wish.members) for item in fleet.hosts.values()) * 10


@many
@given(fleets())
def test_any_world_ends_as_wished_or_says_what_stands_against_it(fleet: Fleet) -> None:
    result = run(fleet)
    assert len(fleet.done) <= steps_needed(fleet)
    if result.ok:
        assert set(releases(fleet).values()) == {NEW}
        assert all(here.serving == {member.id for member in here.wish.members} for here in fleet.hosts.values())
    else:
        assert "bluegreen_min_serving" in result.blocked and not result.failures


@many
@given(fleets(), st.integers(0, 40), st.integers(0, 40))
def test_a_run_cut_off_at_any_step_is_completed_by_running_again(fleet: Fleet, first: int, second: int) -> None:
    blocked = ""
    for cut in (first, second, None):
        fleet.done.clear()
        fleet.cut_after = cut
        try:
            blocked = run(fleet).blocked
        except CutOff:
            continue
    assert "bluegreen_min_serving" in blocked or set(releases(fleet).values()) == {NEW}


@many
@given(fleets(), st.data())
def test_a_bad_release_never_stays_enabled_and_stops_the_spread(fleet: Fleet, data: st.DataObject) -> None:
    members = [member.id for item in fleet.wishes for member in item.members]
    fleet.bad = {(data.draw(st.sampled_from(members)), NEW)}
    for here in fleet.hosts.values():  # what is broken now is not healthy now
        for name, truth in here.slots.items():
            if truth.running == NEW and (f"{here.wish.host}/{name}", NEW) in fleet.bad:
                truth.healthy = False
    untouched = {m: releases(fleet)[m] for m in members}
    result = run(fleet)
    bad_member = next(iter(fleet.bad))[0]
    if result.failures:
        touched = set(members_in_order(fleet))
        assert result.failures[0].member == bad_member
        assert all(releases(fleet)[m] == untouched[m] for m in members if m not in touched)
        here = fleet.hosts[bad_member.split("/")[0]]
        assert bad_member not in here.serving or here.slots[bad_member.split("/")[1]].running != NEW
    else:
        assert "bluegreen_min_serving" in result.blocked


@many
@given(fleets(), st.sampled_from(["switch", "drain", "stop", "point", "start", "check", "enable"]), st.data(), st.integers(0, 30))
def test_a_fault_at_any_step_and_a_cut_off_rollback_are_mended_by_running_again(fleet: Fleet, step: str, data: st.DataObject, cut: int) -> None:
    members = [member.id for item in fleet.wishes for member in item.members]
    fleet.fail = (data.draw(st.sampled_from(members)), step)
    fleet.cut_after = cut
    with contextlib.suppress(CutOff):
        run(fleet)
    fleet.fail, fleet.cut_after, fleet.failed_member = None, None, ""
    fleet.done.clear()
    result = run(fleet)
    assert "bluegreen_min_serving" in result.blocked or set(releases(fleet).values()) == {NEW}


def test_a_fleet_of_a_thousand_members_takes_one_call_a_host() -> None:
    fleet = Fleet({f"app{n}": host(wish(f"app{n}", ["blue", "green"], backups=["green"])) for n in range(500)})
    assert run(fleet).ok
    assert fleet.calls == 500


@pytest.mark.parametrize("guard", ["switch", "drain", "check"])
def test_the_simulation_itself_notices_a_step_left_out(guard: str) -> None:
    fleet = two_slots()
    walk = fleet.walk
    fleet.walk = lambda wished, steps: walk(wished, [step for step in steps if step.name != guard])  # type: ignore[method-assign]
    with pytest.raises(simulation.Broken):
        run(fleet)
