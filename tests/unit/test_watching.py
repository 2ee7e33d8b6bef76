"""A limit that clients or hosts cross while a swap goes on: whose fault it is, what goes back, and what is left alone."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Failure
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import HostLimits
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._judgement import Crossing
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Counts
from tests.unit import simulation
from tests.unit.simulation import NEW, OLD, Fleet, fleet, two_slots
from tests.unit.test_planner import behind, many, members_in_order, releases


@pytest.fixture(autouse=True, scope="module")
def fleets_counted(counts: Counts) -> Iterator[None]:
    yield
    counts.add("simulated runs", simulation.runs)


@dataclass
class Clients:
    """Clients that are not content once so many members serve the new release; at once, if that is 0."""

    there: Fleet
    at: int
    seconds: float = 0.0
    looks: int = 0
    entered: float = 0.0
    after: list[str] = field(default_factory=list)  # the last step that was done, at each look

    def crossed(self, states: Mapping[str, HostState], began: float, entered: float) -> list[Crossing]:
        self.looks += 1
        self.after.append(self.there.done[-1].name if self.there.done else "")
        self.entered = entered
        serving = [member.id for member in self.there.members() if self.there.slot(member.id).running == NEW and self._serves(member.id)]
        if len(serving) < self.at or self.there.watch.over:
            return []
        self.there.watch.over = True
        self.there.watch.failed += serving  # for the invariants: any of them may be taken back
        return [Crossing("nothing fails", "all of it fails")]

    def _serves(self, member: str) -> bool:
        return any(self.there.serves(balancer, member) for balancer in self.there.balancers_of(member))


def run(there: Fleet, at: int, on_failure: str = "stop", serial: tuple[str, ...] = ("1",), told: list[Any] | None = None) -> _runner.Result:
    simulation.runs += 1
    there.width = len(there.wishes)
    there.begin()
    tell = told.append if told is not None else lambda _item: None
    return _runner.swap(there.wishes, there, tell, _runner.Policy(serial, on_failure, apart=True), watch=Clients(there, at))


def test_the_member_that_was_swapped_last_is_at_fault_and_goes_back() -> None:
    there = behind("lb1", hosts=4)
    told: list[Any] = []
    result = run(there, at=2, told=told)
    assert releases(there) == {"app1/main": NEW, "app2/main": OLD, "app3/main": OLD, "app4/main": OLD}
    assert [(failure.member, failure.step, failure.host) for failure in result.failures] == [("app2/main", "watch", "app2")]
    assert result.failures[0] in [item for item in told if isinstance(item, Failure)]
    assert result.returned == ["app2/main"] and not result.ok and result.blocked == ""
    assert members_in_order(there) == ["app1/main", "app2/main"], "no other member was touched"
    assert there.serving("lb1") == set(releases(there))
    assert "app2/main failed at watch: expected: nothing fails; seen: all of it fails" in _runner.message(result, there.wishes)


def test_with_the_policies_the_others_go_back_too() -> None:
    there = behind("lb1", hosts=4)
    assert run(there, at=3, on_failure="fleet").returned == ["app3/main", "app2/main", "app1/main"]
    assert set(releases(there).values()) == {OLD}
    there = fleet({"app1": two_slots(), "app2": two_slots()})
    assert run(there, at=4, on_failure="host").returned == ["app2/green", "app2/blue"]
    assert [release for member, release in releases(there).items() if member.startswith("app1/")] == [NEW, NEW]


def test_a_standby_is_judged_with_its_primary() -> None:
    there = fleet({"app1": two_slots()})
    result = run(there, at=2)  # nobody asks the standby before the primary is out
    assert result.returned == ["app1/green", "app1/blue"]
    assert set(releases(there).values()) == {OLD}
    assert "could not be put back" not in _runner.message(result, there.wishes)


def test_a_batch_goes_back_as_one() -> None:
    there = behind("lb1", hosts=4, serial=("2",))
    assert sorted(run(there, at=1, serial=("2",)).returned) == ["app1/main", "app2/main"]
    assert set(releases(there).values()) == {OLD}


def test_what_is_wrong_before_anything_was_swapped_ends_the_run_and_nothing_is_touched() -> None:
    there = behind("lb1", hosts=3)
    result = run(there, at=0)
    assert not result.ok and result.returned == [] and result.blocked == ""
    assert there.done == [] and not result.changed
    assert [failure.member for failure in result.failures] == [""]
    assert set(releases(there).values()) == {OLD}


def test_clients_that_are_content_change_nothing_but_the_order_of_the_calls() -> None:
    there = behind("lb1", "lb2", hosts=3)
    clients = Clients(there, at=99)
    there.begin()
    assert _runner.swap(there.wishes, there, lambda _item: None, watch=clients).ok
    assert set(releases(there).values()) == {NEW}
    assert clients.entered > 0
    assert set(clients.after) == {"", "drain", "check", "enable"}, "before anything, after leaving, after the work, and when they serve"


def test_hosts_that_have_limits_are_asked_again_when_a_batch_has_been_watched() -> None:
    there = behind("lb1", hosts=3)
    for name in ("app1", "app2"):
        there.hosts[name].wish = replace(there.hosts[name].wish, limits=HostLimits(load=1.0))
    there.begin()
    assert _runner.swap(there.wishes, there, lambda _item: None, watch=Clients(there, at=99, seconds=0.01)).ok
    assert there.looks == len(there.wishes) + 2


@many
@given(st.data())
def test_whatever_the_fleet_what_is_at_fault_goes_back_and_all_that_served_serve(data: st.DataObject) -> None:
    hosts = data.draw(st.integers(2, 5))
    balancers = data.draw(st.sampled_from([(), ("lb1",), ("lb1", "lb2")]))
    serial = data.draw(st.sampled_from([("1",), ("2",), ("1", "50%")]))
    policy = data.draw(st.sampled_from(["stop", "host", "fleet"]))
    there = behind(*balancers, hosts=hosts + 1, serial=serial) if balancers else fleet({f"app{n}": two_slots() for n in range(hosts)}, serial=serial)
    there.chance = random.Random(data.draw(st.integers(0, 99)))
    there.sliced = data.draw(st.booleans())
    at = data.draw(st.integers(0, len(releases(there))))
    result = run(there, at, policy, serial)
    now: Sequence[str | None] = list(releases(there).values())
    assert not result.ok and set(now) <= {OLD, NEW}
    if policy == "fleet" or at == 0:
        assert set(now) == {OLD}
    else:
        assert now.count(NEW) < max(at, 1), "those that made them discontent are gone"
    for balancer in [wish.host for wish in there.wishes if wish.pool]:
        assert there.serving(balancer) == {member.id for member in there.hosts[balancer].wish.pool}
