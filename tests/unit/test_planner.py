"""The planner and the runner against simulated fleets of any topology: the invariants, from every point of interruption."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Step
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Goodbye
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _planner, _runner
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.conftest import Counts
from tests.unit import simulation
from tests.unit.simulation import NEW, OLD, App, Broken, CutOff, Faults, Fleet, Slot, fleet, one_slot, two_slots

EXAMPLES = int(os.environ.get("HOTSWAP_EXAMPLES", "150"))
many = settings(  # the same examples every day; make test-full brings a seed of its own
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="HOTSWAP_SEED" not in os.environ, database=None
)

STEPS = ["switch", "drain", "stop", "point", "start", "check", "enable"]
NOTHING: dict[str, Any] = {"running": None, "current": None}
UPDATED: dict[str, Any] = {"running": NEW, "current": NEW, "previous": OLD, "marks": {NEW: "good"}}


@pytest.fixture(autouse=True, scope="module")
def fleets_counted(counts: Counts) -> Iterator[None]:
    yield
    counts.add("simulated runs", simulation.runs)


def run(there: Fleet, on_failure: str = "stop", serial: tuple[str, ...] = ("1",)) -> _runner.Result:
    simulation.runs += 1
    hosts = sum(bool(wish.members) for wish in there.wishes)
    there.width = max(width for width, _ in zip(_planner.widths(serial, hosts), range(hosts + len(serial)), strict=False))
    there.begin()
    return _runner.swap(there.wishes, there, lambda _item: None, _runner.Policy(serial, on_failure))


def behind(*balancers: str, hosts: int = 3, slots: App | None = None, **more: Any) -> Fleet:
    """App hosts app1, app2, … of one slot, without an nginx of their own."""
    return fleet({f"app{number}": slots or one_slot() for number in range(1, hosts + 1)}, balancers, local=False, **more)


def names(there: Fleet, member: str) -> list[str]:
    return [step.name for step in there.done if step.members == (member,)]


def members_in_order(there: Fleet) -> list[str]:
    return list(dict.fromkeys(member for step in there.done for member in step.members))


def releases(there: Fleet) -> dict[str, str | None]:
    return {member.id: there.slot(member.id).running for member in there.members()}


def everyone_serves(there: Fleet) -> bool:
    return all(there.serving(name) == {member.id for member in here.wish.pool} for name, here in there.hosts.items() if here.pools)


def words(result: _runner.Result, there: Fleet) -> str:
    return _runner.message(result, there.wishes)


# One host with its own nginx.


def test_a_member_is_switched_away_drained_stopped_pointed_started_checked_and_enabled_in_this_order() -> None:
    there = fleet({"app1": two_slots()})
    assert run(there).ok
    assert names(there, "app1/green") == ["switch", "drain", "stop", "point", "start", "check", "enable"]


def test_a_backup_member_is_swapped_before_its_primary() -> None:
    there = fleet({"app1": two_slots()})
    run(there)
    assert members_in_order(there) == ["app1/green", "app1/blue"]


def test_a_dead_member_is_repaired_first_and_needs_no_wait() -> None:
    there = fleet({"app1": two_slots(blue=Slot(running=None, fatal=True))})
    run(there)
    assert members_in_order(there) == ["app1/blue", "app1/green"]
    assert names(there, "app1/blue") == ["switch", "point", "start", "check", "enable"]


def test_a_host_without_a_release_gets_its_first_one_without_a_wait() -> None:
    there = fleet({"app1": two_slots(blue=Slot(**NOTHING), green=Slot(**NOTHING))})
    assert run(there).ok
    assert not {"drain", "stop"} & {step.name for step in there.done}


def test_a_second_run_does_nothing() -> None:
    there = fleet({"app1": two_slots()})
    run(there)
    result = run(there)
    assert result.ok and not result.changed and not there.done


def test_the_usual_release_needs_no_reload() -> None:
    assert run(fleet({"app1": two_slots()})).reloads == 0


def test_pools_that_nobody_foresaw_are_declared_once_before_any_member_is_touched() -> None:
    there = fleet({"app1": App({name: Slot() for name in "abcd"})}, out={"app1": ["app1/a", "app1/b", "app1/c"]})
    assert run(there).ok
    assert [step.name for step in there.done].count("declare") == 1
    assert there.done[0].name == "declare"


def test_a_changed_start_of_the_same_release_is_swapped_in() -> None:
    there = fleet({"app1": two_slots(blue=Slot(**UPDATED), green=Slot(**UPDATED, pending=True))})
    assert run(there).ok
    assert members_in_order(there) == ["app1/green"]


def test_a_changed_start_that_fails_goes_back_to_the_start_it_had() -> None:
    there = fleet({"app1": two_slots(blue=Slot(**UPDATED), green=Slot(**UPDATED, pending=True))})
    there.faults.bad = {("app1/green", f"{NEW} with its new start")}
    assert not run(there).ok
    assert releases(there) == {"app1/blue": NEW, "app1/green": NEW}
    assert everyone_serves(there)


def test_a_member_that_boots_from_an_interrupted_run_is_not_restarted() -> None:
    there = fleet({"app1": two_slots(green=Slot(NEW, NEW, OLD, healthy=False, uptime=1.0))}, out={"app1": ["app1/green"]})
    run(there)
    assert names(there, "app1/green") == ["check", "enable"]


def test_a_member_that_hangs_on_the_wished_release_is_restarted() -> None:
    there = fleet({"app1": two_slots(blue=Slot(**UPDATED), green=Slot(**UPDATED, healthy=False))})
    assert run(there).ok
    assert [step.name for step in there.done] == ["switch", "drain", "stop", "point", "start", "check", "enable"]


def test_a_failed_release_is_put_back_and_the_other_slot_is_never_touched() -> None:
    there = fleet({"app1": two_slots()})
    there.faults.bad = {("app1/green", NEW)}
    result = run(there)
    assert [failure.member for failure in result.failures] == ["app1/green"]
    assert members_in_order(there) == ["app1/green"]
    assert releases(there) == {"app1/blue": OLD, "app1/green": OLD}
    assert everyone_serves(there)
    assert "app1/green is back on release v1 and serves; the others were not touched." in words(result, there)


def test_a_first_release_that_fails_stays_out_and_is_stopped() -> None:
    there = fleet({"app1": two_slots(blue=Slot(**NOTHING), green=Slot(**NOTHING))})
    there.faults.bad = {("app1/green", NEW)}
    result = run(there)
    assert releases(there)["app1/green"] is None
    assert "app1/green" not in there.serving("app1")
    assert "has no release to go back to and stays out of the balancer" in words(result, there)


def test_a_rollback_that_fails_is_not_rolled_back() -> None:
    there = fleet({"app1": two_slots()})
    there.faults.bad = {("app1/green", NEW), ("app1/green", OLD)}
    result = run(there)
    assert len(result.failures) == 2
    assert "app1/green" not in there.serving("app1")
    assert "could not be put back" in words(result, there)


def test_a_drain_that_fails_leaves_the_old_process_running_and_enabled() -> None:
    there = fleet({"app1": two_slots()})
    there.faults.fail = ("app1/green", "drain")
    run(there)
    assert releases(there)["app1/green"] == OLD
    assert "app1/green" in there.serving("app1")
    assert "stop" not in names(there, "app1/green")


def test_the_capacity_of_a_host_is_not_undercut() -> None:
    there = fleet({"app1": two_slots()}, min_serving=2)
    result = run(there)
    assert "bluegreen_min_serving is 2" in result.blocked and result.blocked_on == "app1"
    assert not there.done


# Order and width.


def test_hosts_come_in_inventory_order() -> None:
    there = fleet({name: two_slots() for name in ("web2", "web10", "web1")})
    run(there)
    assert [member.split("/")[0] for member in members_in_order(there)] == ["web2", "web2", "web10", "web10", "web1", "web1"]


@pytest.mark.parametrize("local", [True, False])
def test_a_host_with_an_unhealthy_member_comes_first_and_its_standby_before_its_primary(local: bool) -> None:
    apps = {"app1": two_slots(), "app2": two_slots(), "app3": two_slots(green=Slot(healthy=False))}
    there = fleet(apps, ["lb1"], local=local)
    assert run(there).ok
    assert members_in_order(there) == [f"{host}/{slot}" for host in ("app3", "app1", "app2") for slot in ("green", "blue")]


@pytest.mark.parametrize(
    ("serial", "hosts", "expected"),
    [
        (("2",), 5, [2, 2, 2, 2]),
        (("40%",), 5, [2, 2]),
        (("10%",), 5, [1, 1]),
        (("1", "5", "20%"), 40, [1, 5, 8, 8]),
        (("100%",), 7, [7, 7]),
    ],
)
def test_widths_are_numbers_or_percentages_and_the_last_one_stays(serial: tuple[str, ...], hosts: int, expected: list[int]) -> None:
    assert [width for width, _ in zip(_planner.widths(serial, hosts), expected, strict=False)] == expected


@pytest.mark.parametrize(("serial", "sizes"), [(("3",), [3, 3, 2]), (("50%",), [4, 4]), (("1", "2", "50%"), [1, 2, 4, 1])])
@pytest.mark.parametrize("balancers", [("lb1",), ("lb1", "lb2")])
def test_a_batch_leaves_its_balancers_at_the_same_time(serial: tuple[str, ...], sizes: list[int], balancers: tuple[str, ...]) -> None:
    there = behind(*balancers, hosts=8, serial=serial)
    result = run(there, serial=serial)
    assert result.ok and not result.reloads
    assert [len(step.members) for step in there.done if step.name == "switch" and step.host == "lb1"] == sizes
    assert there.watch.widest == max(sizes)


def test_hosts_with_their_own_nginx_are_swapped_at_the_same_time_too() -> None:
    there = fleet({f"app{number}": two_slots() for number in range(6)})
    there.sliced = True
    assert run(there, serial=("3",)).ok
    first = [step.host for step in there.done[: 3 * 14]]
    assert set(first) == {"app0", "app1", "app2"} and first != sorted(first)


def test_a_batch_is_as_small_as_min_serving_demands() -> None:
    there = behind("lb1", hosts=5, min_serving=3, serial=("4",))
    assert run(there, serial=("4",)).ok
    assert [len(step.members) for step in there.done if step.name == "switch"] == [2, 2, 1]


def test_the_most_demanding_balancer_decides() -> None:
    there = behind("lb1", "lb2", hosts=4, min_serving={"lb1": 1, "lb2": 3})
    assert run(there, serial=("3",)).ok
    assert there.watch.widest == 1


def test_pools_for_smaller_batches_are_declared_in_one_go_before_anything_is_touched() -> None:
    there = behind("lb1", hosts=7, serial=("2",))
    result = run(there, serial=("3",))
    assert result.ok and result.reloads == 1
    assert there.done[0].name == "declare"


def test_a_dead_host_costs_no_capacity() -> None:
    there = fleet({"app1": one_slot(), "app2": one_slot(running=None, fatal=True)}, ["lb1"], local=False)
    assert run(there).ok
    assert members_in_order(there) == ["app2/main", "app1/main"]


def test_a_member_that_falls_again_and_again_is_not_swapped_again_and_again() -> None:
    there = fleet({"app1": two_slots(), "app2": two_slots()}, min_serving=0)
    there.faults.restless = {"app1/green"}
    result = run(there)
    assert names(there, "app1/green").count("start") == 1
    assert result.blocked.startswith("app1/green was swapped and is not as wished again: no release running, supervisor says FATAL")
    assert result.blocked_on == "app1" and releases(there)["app2/green"] == OLD


# Balancers of their own.


def test_a_member_is_out_only_when_all_balancers_say_so() -> None:
    there = behind("lb1", "lb2", hosts=2)
    assert run(there).ok
    for step in there.done:
        if step.name in ("stop", "start"):
            assert step.out_of == ("lb1", "lb2")


def test_the_own_nginx_and_the_balancer_in_front_both_let_go_of_a_member() -> None:
    there = fleet({"app1": two_slots(), "app2": two_slots()}, ["lb1"])
    assert run(there).ok
    assert names(there, "app1/green") == ["switch", "drain", "switch", "drain", "stop", "point", "start", "check", "enable", "enable"]


def test_a_member_that_only_one_balancer_lacks_is_enabled_there_and_left_alone_otherwise() -> None:
    apps = {"app1": one_slot(**UPDATED), "app2": one_slot(**UPDATED)}
    there = fleet(apps, ["lb1", "lb2"], local=False, min_serving={"lb1": 2, "lb2": 1}, out={"lb2": ["app1/main"]})
    assert run(there).ok
    assert [(step.host, step.name) for step in there.done] == [("app1", "check"), ("lb2", "enable")]


def test_fleets_of_both_kinds_of_hosts_are_swapped_in_one_run() -> None:
    there = fleet({"app1": one_slot(), "app2": one_slot()}, ["lb1"], local=False)
    there.hosts |= fleet({"app3": two_slots()}).hosts
    assert run(there).ok
    assert set(releases(there).values()) == {NEW} and everyone_serves(there)


@pytest.mark.parametrize("balancers", [("lb1",), ("lb1", "lb2"), ("lb1", "lb2", "lb3")])
@pytest.mark.parametrize("members", [5, 40, 80])
def test_a_member_behind_balancers_costs_one_call_and_one_for_each_balancer(balancers: tuple[str, ...], members: int) -> None:
    there = behind(*balancers, hosts=members)
    assert run(there).ok
    assert there.looks == members + len(balancers)
    assert there.calls == members * (1 + len(balancers)) + len(balancers)  # the last way back into the balancers goes with nothing


@pytest.mark.parametrize("hosts", [1, 10, 500])
def test_a_host_with_its_own_nginx_costs_one_call(hosts: int) -> None:
    there = fleet({f"app{number}": two_slots() for number in range(hosts)})
    there.watching = False
    assert run(there).ok
    assert there.calls == hosts and there.looks == hosts


# When a member fails.


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    ("policy", "after"),
    [
        ("stop", {"app1/green": NEW, "app1/blue": NEW, "app2/green": NEW, "app2/blue": OLD, "app3/green": OLD, "app3/blue": OLD}),
        ("host", {"app1/green": NEW, "app1/blue": NEW, "app2/green": OLD, "app2/blue": OLD, "app3/green": OLD, "app3/blue": OLD}),
        ("fleet", dict.fromkeys(["app1/green", "app1/blue", "app2/green", "app2/blue", "app3/green", "app3/blue"], OLD)),
    ],
)
def test_what_runs_where_after_a_failure(policy: str, after: Mapping[str, str], local: bool) -> None:
    there = fleet({name: two_slots() for name in ("app1", "app2", "app3")}, [] if local else ["lb1"], local=local)
    there.faults.bad = {("app2/blue", NEW)}
    result = run(there, policy)
    assert [failure.member for failure in result.failures] == ["app2/blue"] and not result.blocked
    assert releases(there) == after and everyone_serves(there)
    assert "app2/blue is back on release v1 and serves" in words(result, there)
    assert all(f"{member}: release {release}, supervisor says RUNNING, healthy, serving" in words(result, there) for member, release in after.items())
    assert _runner.booked(result).keys() == {"app2"}


def test_a_rollback_of_the_fleet_goes_one_by_one_with_the_last_one_first() -> None:
    there = behind("lb1", hosts=5, serial=("2",))
    there.faults.bad = {("app5/main", NEW)}
    result = run(there, "fleet", serial=("2",))
    assert result.returned == ["app5/main", "app4/main", "app3/main", "app2/main", "app1/main"]


def test_a_rollback_of_the_fleet_leaves_alone_who_ran_the_wished_release_before() -> None:
    there = fleet({"app1": one_slot(**UPDATED), "app2": one_slot(), "app3": one_slot()}, ["lb1"], local=False, out={"lb1": ["app1/main"]})
    there.faults.bad = {("app3/main", NEW)}
    result = run(there, "fleet")
    assert releases(there) == {"app1/main": NEW, "app2/main": OLD, "app3/main": OLD}
    assert result.returned == ["app3/main", "app2/main"] and everyone_serves(there)


def test_a_rollback_of_the_fleet_that_fails_stops_and_says_what_runs_where() -> None:
    there = behind("lb1", hosts=4)
    there.faults.bad = {("app3/main", NEW), ("app2/main", OLD)}
    result = run(there, "fleet")
    assert releases(there)["app1/main"] == NEW and "app2/main" not in there.serving("lb1")
    text = words(result, there)
    assert "app3/main is back on release v1 and serves" in text
    assert "The way back ended at app2/main, which could not be put back: nothing more was tried." in text
    assert "app1/main: release v2, supervisor says RUNNING, healthy, serving" in text
    assert "app2/main: release v1, supervisor says RUNNING, not healthy" in text and "out of the balancer" in text


def test_a_rollback_of_the_fleet_does_not_undercut_min_serving_either() -> None:
    there = behind("lb1", hosts=3, min_serving=2)
    there.faults.bad = {("app3/main", NEW), ("app3/main", OLD)}
    assert run(there, "fleet").failures
    there = behind("lb1", hosts=3, min_serving=2)
    there.faults.bad = {("app3/main", NEW)}
    there.faults.dies = ("app1/main", 20)
    result = run(there, "fleet")
    assert not result.ok


def test_the_others_of_a_batch_are_brought_to_their_end_when_one_fails() -> None:
    for seed in range(20):
        there = behind("lb1", hosts=6, serial=("3",))
        there.chance, there.sliced = random.Random(seed), True
        there.faults.bad = {("app2/main", NEW)}
        run(there, serial=("3",))
        assert releases(there)["app2/main"] == OLD
        assert {releases(there)[f"app{number}/main"] for number in (4, 5, 6)} == {OLD}
        assert everyone_serves(there)


def test_a_balancer_that_refuses_a_member_sends_it_back_and_nobody_else() -> None:
    there = behind("lb1", "lb2", hosts=3)
    there.faults.refuses = {("lb2", "app1/main")}
    result = run(there)
    assert (result.failures[0].host, result.failures[0].member) == ("lb2", "app1/main")
    assert releases(there) == {"app1/main": OLD, "app2/main": OLD, "app3/main": OLD}
    assert there.serving("lb1") == {"app1/main", "app2/main", "app3/main"}
    assert "serving on lb1 only" in words(result, there)


# Hosts that are lost.


@pytest.mark.parametrize("host", ["app2", "lb1"])
def test_a_host_that_is_lost_before_the_start_changes_nothing(host: str) -> None:
    there = behind("lb1", "lb2")
    there.faults.lost = (host, 0)
    result = run(there)
    assert not there.done and not result.changed and result.lost.keys() == {host}
    assert "Nothing was changed." in words(result, there)
    assert _runner.booked(result).keys() == {host}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("policy", ["stop", "host", "fleet"])
def test_an_app_host_that_is_lost_in_the_middle_ends_the_spread_and_touches_nobody_else(policy: str, late: bool) -> None:
    there = behind("lb1", "lb2", hosts=4)
    there.faults = Faults(lost=("app2", 5), late=late)
    result = run(there, policy)
    assert result.lost.keys() == {"app2"} and result.changed
    assert {member: release for member, release in releases(there).items() if member != "app2/main"} == {"app1/main": NEW, "app3/main": OLD, "app4/main": OLD}
    assert there.serving("lb1") == there.serving("lb2") == {"app1/main", "app3/main", "app4/main"}
    assert "app2/main: release v1, supervisor says RUNNING, healthy, out of the balancer (last seen " in words(result, there)
    there.faults = Faults()
    assert run(there).ok
    assert set(releases(there).values()) == {NEW} and everyone_serves(there)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("call", range(9))
def test_a_lost_balancer_means_that_no_member_is_stopped_that_it_may_still_serve(call: int, late: bool) -> None:
    there = behind("lb1", "lb2")
    there.faults = Faults(lost=("lb1", call), late=late and call > 0)
    result = run(there)
    assert result.lost.keys() == {"lb1"}
    assert all(there.slot(member.id).answers for member in there.members())
    assert there.serving("lb2") == {"app1/main", "app2/main", "app3/main"}
    assert call == 0 or "No member that it may still serve was stopped." in words(result, there)
    there.faults = Faults()
    assert run(there).ok and everyone_serves(there)


def test_a_failed_member_only_leaves_the_other_balancers_while_one_cannot_be_asked() -> None:
    there = behind("lb1", "lb2")
    there.faults = Faults(lost=("lb1", 3), late=True, refuses={("lb2", "app1/main")})
    result = run(there)
    assert "app1/main" in there.serving("lb1") and there.slot("app1/main").answers
    assert "app1/main" not in there.serving("lb2")
    assert result.lost and result.failures


def test_a_member_that_a_person_took_out_meanwhile_is_not_missed_twice() -> None:
    """Both obey min_serving on the balancer itself: the run's next member is refused there, and nobody is stopped."""
    there = behind("lb1", hosts=3, min_serving=2)
    there.faults.person = ("lb1", "app3/main", 7)
    result = run(there)
    assert [failure.seen for failure in result.failures] == ["those who would stay do not answer"]
    assert releases(there) == {"app1/main": NEW, "app2/main": OLD, "app3/main": OLD}
    assert there.serving("lb1") == {"app1/main", "app2/main"}


def test_a_module_that_cannot_work_on_a_host_ends_the_spread_like_a_loss() -> None:
    there = behind("lb1")
    there.faults.refusal = ("app2", 3)
    result = run(there)
    assert result.lost == {"app2": "app2: no space left on device"}
    assert releases(there)["app3/main"] == OLD


# Check mode.


def comparable(steps: list[Step]) -> dict[str, list[Step]]:
    """What each host is to do, in order, without what is told to it only when it is done."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.host, []).append(replace(step, out_of=(), expected={}, elapsed=0.0, resume={}))
    return found


# Random worlds.

slots = st.builds(
    Slot,
    running=st.sampled_from([None, OLD, NEW, "v0"]),
    current=st.sampled_from([None, OLD, NEW, "v0"]),
    previous=st.sampled_from([None, OLD, "v0", NEW]),
    marks=st.dictionaries(st.sampled_from([OLD, NEW, "v0"]), st.sampled_from(["good", "failed"]), max_size=3),
    pending=st.booleans(),
    healthy=st.sampled_from([True, True, False]),
    uptime=st.sampled_from([0.5, 1000.0]),
    fatal=st.booleans(),
    unreloadable=st.sampled_from(["", "its environment changed"]),
)
serials = st.sampled_from([("1",), ("2",), ("50%",), ("1", "100%"), ("3",)])
policies = st.sampled_from(["stop", "host", "fleet"])


@st.composite
def apps(draw: st.DrawFn, usual: bool) -> App:
    slot_names = ["blue", "green", "red"][: draw(st.integers(1, 3))]
    truth = {name: Slot() if usual else draw(slots) for name in slot_names}
    for one in truth.values():
        if one.current is None:
            one.running = None
        one.healthy = one.healthy and one.running is not None
    return App(truth, sorted(draw(st.sets(st.sampled_from(slot_names), max_size=len(slot_names) - 1))))


@st.composite
def worlds(draw: st.DrawFn) -> Fleet:
    """Any fleet, in any state; half of them as a release finds them usually."""
    usual = draw(st.booleans())
    there = {f"app{number}": draw(apps(usual)) for number in range(1, draw(st.integers(1, 5)) + 1)}
    balancers = ["lb1", "lb2", "lb3"][: draw(st.integers(0, 3))]
    local = draw(st.booleans()) or not balancers
    members = [f"{name}/{slot}" for name, app in there.items() for slot in app.slots]
    hosts = [*balancers, *(there if local else ())]
    needs = {name: draw(st.integers(0, 2 if name in balancers else 1)) for name in hosts}
    out = {} if usual else {name: draw(st.sets(st.sampled_from(members), max_size=3)) for name in hosts if draw(st.booleans())}
    goodbye = Goodbye(signal="USR2") if draw(st.booleans()) else Goodbye()
    found = fleet(there, balancers, local, needs, out, draw(serials), foreseen=draw(st.booleans()), goodbye=goodbye)
    if draw(st.booleans()):
        for host in found.hosts.values():
            host.wish = replace(host.wish, strategy="reload")
    found.chance = random.Random(draw(st.integers(0, 999)))
    found.sliced = draw(st.booleans())
    if not usual:
        for one in found.members():
            for name in found.balancers_of(one.id):
                if found.slot(one.id).running and draw(st.booleans()):
                    found.slot(one.id).connections[name] = 1
    return found


@st.composite
def faults(draw: st.DrawFn, there: Fleet) -> Faults:
    """One thing or several that go wrong."""
    members = st.sampled_from([member.id for member in there.members()])
    hosts = st.sampled_from(list(there.hosts))
    calls = st.integers(1, 25)
    pairs = [(name, member) for member in there.members() for name in there.balancers_of(member.id)]
    found = Faults(
        bad=draw(st.sets(st.tuples(members, st.sampled_from([NEW, NEW, OLD, f"{NEW} with its new start"])), max_size=2)),
        fail=draw(st.none() | st.tuples(members, st.sampled_from(STEPS))),
        refuses={(name, member.id) for name, member in draw(st.lists(st.sampled_from(pairs), max_size=1))},
        lost=draw(st.none() | st.tuples(hosts, calls)),
        late=draw(st.booleans()),
        refusal=draw(st.none() | st.tuples(hosts, calls)),
        dies=draw(st.none() | st.tuples(members, st.integers(1, 30))),
        vain=draw(st.sets(members, max_size=2)),
        restless=draw(st.sets(members, max_size=1)),
        person=draw(st.none() | st.sampled_from(pairs).flatmap(lambda pair: st.tuples(st.just(pair[0]), st.just(pair[1].id), st.integers(1, 30)))),
    )
    for member, release in found.bad:  # what is broken now is not healthy now
        slot = there.slot(member)
        if slot.running == release or (slot.running == NEW and not slot.pending and release.startswith(NEW)):
            slot.healthy = False
    return found


def bound(there: Fleet) -> int:
    """Steps that a run may take at most: each member once there, and once back, on each of its hosts."""
    return sum(2 * 9 * (1 + len(there.balancers_of(member.id))) for member in there.members()) + len(there.hosts)


def is_blocked(result: _runner.Result) -> bool:
    return "bluegreen_min_serving" in result.blocked and not result.failures


@many
@given(worlds(), serials, policies)
def test_any_world_ends_as_wished_or_says_what_stands_against_it(there: Fleet, serial: tuple[str, ...], policy: str) -> None:
    result = run(there, policy, serial)
    assert len(there.done) <= bound(there)
    if result.ok:
        assert set(releases(there).values()) == {NEW} and everyone_serves(there)
        again = run(there, policy, serial)
        assert again.ok and not again.changed and not there.calls
    else:
        event("blocked")
        assert is_blocked(result)


@many
@given(worlds(), serials)
def test_the_plan_of_check_mode_is_what_the_run_does(there: Fleet, serial: tuple[str, ...]) -> None:
    there.sliced = False
    planned = _runner.preview(there.wishes, {wish.host: there.observe(wish) for wish in there.wishes}, _runner.Policy(serial))
    result = run(there, serial=serial)
    assert comparable(there.done) == comparable(planned.planned)
    assert result.blocked == planned.blocked and result.changed == planned.changed


@many
@given(worlds(), serials)
def test_calls_are_bounded_by_members_and_balancers(there: Fleet, serial: tuple[str, ...]) -> None:
    run(there, serial=serial)
    separate = {name for wish in there.wishes for name in wish.others}
    members = list(there.members())
    assert there.looks == len(there.hosts)
    calls = there.calls - there.waits
    rounds = 2 if any(wish.goodbye.is_said for wish in there.wishes) else 1  # and the goodbye is one more of each
    if not separate:
        assert calls <= len(there.hosts) + sum(there.hosts[wish.host].wish.min_serving > 0 for wish in there.wishes) * len(members)
    assert calls <= rounds * (1 + len(separate)) * len(members) + 2 * len(separate) + len(there.hosts)


@many
@given(worlds(), serials, st.lists(st.integers(0, 40), min_size=1, max_size=3), policies)
def test_a_run_cut_off_anywhere_and_again_is_completed_by_running_again(there: Fleet, serial: tuple[str, ...], cuts: list[int], policy: str) -> None:
    blocked = False
    for cut in (*cuts, None):
        there.faults.cut_after = cut
        try:
            blocked = is_blocked(run(there, policy, serial))
        except CutOff:
            event("cut off")
    assert blocked or (set(releases(there).values()) == {NEW} and everyone_serves(there))


@many
@given(worlds(), serials, policies, st.data())
def test_whatever_goes_wrong_the_invariants_hold_and_running_again_completes_it(
    there: Fleet, serial: tuple[str, ...], policy: str, data: st.DataObject
) -> None:
    there.faults = data.draw(faults(there))
    there.faults.cut_after = data.draw(st.none() | st.integers(0, 60))
    before = releases(there)
    try:
        result = run(there, policy, serial)
    except CutOff:
        event("cut off")
    else:
        event("ok" if result.ok else "blocked" if not result.failures and not result.lost else "failed")
        assert len(there.done) <= bound(there)
        _is_told_rightly(result, there)
        if not there.watch.begun:
            assert releases(there) == before or there.watch.disturbed
    there.faults = Faults()
    last = run(there, policy, serial)
    assert is_blocked(last) or (last.ok and set(releases(there).values()) == {NEW} and everyone_serves(there))


def _is_told_rightly(result: _runner.Result, there: Fleet) -> None:
    """Of hosts that answer, the result holds the truth; who failed is out, or on what it had."""
    for host, state in result.states.items():
        if host not in result.lost and not there.watch.disturbed:
            assert state == there.hosts[host].seen()
    for failure in result.failures:
        text = _runner.message(result, there.wishes)
        assert failure.seen in text and (failure.member or failure.host) in text
    if not result.ok:
        assert _runner.booked(result).keys() <= there.hosts.keys()
        for line in _runner.table(result.states, _runner.by_host(there.wishes), result.lost):
            assert line in _runner.message(result, there.wishes)


@many
@given(worlds(), serials, policies, st.data())
def test_a_bad_release_never_stays_enabled_and_stops_the_spread(there: Fleet, serial: tuple[str, ...], policy: str, data: st.DataObject) -> None:
    bad = data.draw(st.sampled_from([member.id for member in there.members()]))
    there.faults.bad = {(bad, NEW)}
    if there.slot(bad).running == NEW:
        there.slot(bad).healthy = False
    before = releases(there)
    result = run(there, policy, serial)
    assert not result.ok
    if not result.failures:
        assert is_blocked(result)
        return
    event(policy)
    assert {failure.member for failure in result.failures} == {bad}
    assert there.slot(bad).running != NEW or not any(there.serves(name, bad) for name in there.balancers_of(bad))
    after = releases(there)
    assert all(after[member] == before[member] for member in after if member not in there.watch.begun)
    went_back = {member for member in there.watch.replaced if after[member] != NEW}
    same_host = {member for member in there.watch.replaced if member.partition("/")[0] == bad.partition("/")[0]}
    if policy == "stop":
        assert went_back <= {bad}
    if policy == "host":
        assert went_back <= same_host


@pytest.mark.parametrize("guard", ["switch", "goodbye", "drain", "check", "stop"])
@pytest.mark.parametrize("balancers", [(), ("lb1",)])
def test_the_simulation_itself_notices_a_step_left_out(guard: str, balancers: tuple[str, ...]) -> None:
    there = fleet({"app1": two_slots(), "app2": two_slots()}, balancers, local=not balancers, goodbye=Goodbye(signal="USR2"))
    walk = there.walk
    there.walk = lambda wished, steps: walk(wished, [step for step in steps if step.name != guard])  # type: ignore[method-assign]
    with pytest.raises(Broken):
        run(there)


def test_every_event_says_where_it_happened() -> None:
    there, told = behind("lb1"), []
    there.begin()
    _runner.swap(there.wishes, there, told.append)
    assert {item.host for item in told if isinstance(item, Event)} == set(there.hosts)
