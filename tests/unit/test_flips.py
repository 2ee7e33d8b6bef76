"""One slot of each host takes over: simulated fleets, cut off after any step, with members, balancers and hosts that fail."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pools
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Mixing
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _flip, _planner, _runner
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Canary, Weight
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._pauses import Terms
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._world import World
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.simulation import NEW, OLD, App, Broken, CutOff, Faults, Fleet, Host, Pools, Slot, fleet

WEIGHTS = (5.0, 50.0)
SIMULATED = settings(
    max_examples=int(os.environ.get("HOTSWAP_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="HOTSWAP_SEED" not in os.environ,
    database=None,
)
NOTHING_TO_WAIT_FOR = Terms(Canary(tuple(Weight(weight, 0.0, 20) for weight in WEIGHTS), no_traffic="go_on"))


@dataclass
class Mixed(Pools):
    """Pools, two of which may share the requests."""

    entering: tuple[str, ...] = ()
    step: int = -1

    def seen(self) -> BalancerState:
        return BalancerState(self.active, tuple(self.serving), self.told, True, maintenance=self.marks, entering=self.entering, step=self.step, weights=WEIGHTS)

    def serve(self, members: Sequence[str], entering: Sequence[str], step: int) -> None:
        self.serving = dict.fromkeys(sorted(members))
        self.active, self.entering, self.step = _pools.name(self.serving), tuple(entering), step

    def move(self, members: Sequence[str]) -> bool:
        moved = super().move(members)
        self.entering = tuple(name for name in self.entering if name in self.serving)
        self.step = self.step if self.entering else -1
        return moved


@dataclass
class Flips(Fleet):
    """Holds every step against what clients must be able to rely on."""

    shifts: list[tuple[str, float]] = field(default_factory=list)

    def mixed(self, balancer: str) -> Mixed:
        pools = self.hosts[balancer].pools
        assert isinstance(pools, Mixed)
        return pools

    def _must_be_allowed(self, step: Step, here: Host, _sent: bool) -> None:
        if step.name in ("stop", "point", "start") and any(self.serves(name, step.members[0]) for name in here.wish.balancers):
            raise Broken(f"{step}: it is served")

    def _smoke(self, step: Step, here: Host) -> tuple[str, str] | None:
        if not self._nginx(here).serving or set(step.members) & self._nginx(here).serving.keys() - set(self.mixed(here.wish.host).entering):
            raise Broken(f"{step}: clients reach it already")
        return None

    def _shift(self, step: Step, here: Host) -> tuple[str, str] | None:
        pools = self.mixed(here.wish.host)
        for member in step.members:
            slot = self.slot(member)
            if not slot.answers or (step.host, member) in self.faults.refuses:
                return member, "it does not answer here"
            if not step.restore and slot.running != step.release:
                raise Broken(f"{step}: {member} runs {slot.running}")
        whole = step.weight == 100
        old = [name for name in pools.serving if name not in step.members]
        new = [name for name in {*pools.serving, *step.members} if whole and name not in step.leaving] if whole else list(step.members)
        for pool in (new,) if whole else (old, new):
            if _pools.name(pool) not in pools.declared:
                raise Broken(f"{step}: {pool} is not declared")
        if not whole and not old:
            raise Broken(f"{step}: nobody is there to share with")
        pools.serve(new if whole else [*old, *new], () if whole else new, -1 if whole else WEIGHTS.index(step.weight) + 1 if step.weight else 0)
        self.shifts.append((here.wish.host, step.weight))
        for member in step.members:
            self.slot(member).connections[step.host] = 1
        return None


def flips(hosts: int, balancers: Sequence[str], strategy: str, idle: Slot | None = None, **changes: object) -> Flips:
    """Hosts with blue in use and green idle."""
    names = [f"app{number}" for number in range(1, hosts + 1)]
    nobody = {"running": None, "current": None, "healthy": False}
    apps = {name: App({"blue": Slot(), "green": replace(idle) if idle else Slot(**nobody)}) for name in names}  # type: ignore[arg-type]  # fields of a slot, by name
    everywhere = [*balancers, *([] if balancers else names)]
    made = fleet(apps, balancers, local=not balancers, strategy=strategy, out={name: [f"{app}/green" for app in names] for name in everywhere})
    for host in made.hosts.values():
        host.wish = replace(host.wish, strategy=strategy, mixing=Mixing(WEIGHTS if strategy == "canary" else ()), **changes)  # type: ignore[arg-type]  # fields of a slot, by name
        if host.pools:
            colors = [[member.id for member in host.wish.pool if member.slot == color] for color in ("blue", "green")]
            host.pools = Mixed(host.pools.serving, {**host.pools.declared, **dict.fromkeys(map(_pools.name, colors))})
    return Flips(made.hosts, chance=made.chance)


def run(there: Flips) -> _runner.Result:
    there.begin()
    return _runner.swap(there.wishes, there, lambda _told: None, _runner.Policy(terms=NOTHING_TO_WAIT_FOR))


def through(there: Flips, retired: bool = True) -> None:
    """On every balancer one slot of each host serves, on the new release; the other one is at rest."""
    for host in there.hosts.values():
        if host.pools:
            assert there.mixed(host.wish.host).step < 0
            serving = there.serving(host.wish.host)
            assert sorted(member.split("/")[0] for member in serving) == sorted({member.host for member in host.wish.pool})
            assert all(there.slot(member).running == NEW and there.slot(member).answers for member in serving)
        if host.slots and retired:
            assert [slot.running for slot in host.slots.values()].count(None) == 1


@pytest.mark.parametrize("balancers", [[], ["lb1", "lb2"]])
def test_the_idle_slots_come_up_together_and_every_balancer_takes_the_same_steps(balancers: list[str]) -> None:
    there = flips(2, balancers, "canary")
    done = run(there)
    assert done.ok and done.reloads == 0
    through(there)
    steps = {name: [weight for where, weight in there.shifts if where == name] for name in balancers or ["app1", "app2"]}
    assert set(map(tuple, steps.values())) == {(0.0, *WEIGHTS, 100.0)}
    assert not run(there).changed


def test_a_rollback_to_one_that_is_still_warm_is_one_switch_and_nothing_else() -> None:
    there = flips(2, ["lb1"], "blue_green", idle=Slot(running=NEW, current=NEW), rollback=True, retire=False)
    assert run(there).ok
    assert [step.name for step in there.done] == ["shift"]
    through(there, retired=False)


def test_the_first_release_has_nobody_to_share_with() -> None:
    there = flips(2, ["lb1"], "canary")
    for host in there.hosts.values():
        for slot in host.slots.values():
            slot.running, slot.current, slot.healthy = None, None, False
    assert run(there).ok
    assert [weight for _where, weight in there.shifts] == [0.0, 100.0]
    through(there)


def test_a_member_that_does_not_come_up_leaves_everything_as_it_was() -> None:
    there = flips(3, ["lb1", "lb2"], "blue_green", idle=Slot(running="v0", current="v0"))
    there.faults = Faults(bad={("app2/green", NEW)})
    done = run(there)
    assert not done.ok and there.shifts == []
    assert {there.slot(member.id).running for member in there.members() if member.slot == "blue"} == {OLD}
    assert {there.slot(member.id).running for member in there.members() if member.slot == "green"} == {"v0"}, "they are warm again"


def test_when_one_balancer_cannot_all_of_them_go_back_in_one_round() -> None:
    there = flips(2, ["lb1", "lb2", "lb3"], "blue_green")
    there.faults = Faults(refuses={("lb2", "app1/green")})
    assert not run(there).ok
    for name in ("lb1", "lb2", "lb3"):
        assert there.serving(name) == {"app1/blue", "app2/blue"} and there.mixed(name).step < 0
    assert all(there.slot(f"{app}/green").running is None for app in ("app1", "app2"))
    there.faults = Faults()
    assert run(there).ok
    through(there)


@pytest.mark.parametrize("faults", [Faults(fail=("app1/blue", "stop")), Faults(fail=("app1/blue", "drain")), Faults(lost=("app2", 5))])
def test_an_old_one_that_cannot_be_ended_sends_no_request_back(faults: Faults) -> None:
    there = flips(2, ["lb1"], "blue_green")
    there.faults = faults
    done = run(there)
    assert not done.ok
    if done.failures:
        assert "All requests go to app1/green, app2/green on release v2; what they replaced could not be ended." in _runner.message(done, there.wishes)
    assert there.serving("lb1") == {"app1/green", "app2/green"}
    there.faults = Faults()
    assert run(there).ok
    through(there)


def test_a_wish_for_the_old_release_in_the_middle_of_a_canary_takes_the_share_back() -> None:
    there = flips(2, ["lb1"], "canary")
    there.faults = Faults(cut_after=8)
    with pytest.raises(CutOff):
        run(there)
    assert there.mixed("lb1").step >= 0, there.done
    there.faults = Faults()
    for host in there.hosts.values():
        host.wish = replace(host.wish, release=OLD, rollback=True)
    assert run(there).ok
    assert there.serving("lb1") == {"app1/blue", "app2/blue"} and there.mixed("lb1").step < 0


@pytest.mark.parametrize("strategy", ["blue_green", "canary"])
@pytest.mark.parametrize("topology", [(2, ["lb1", "lb2"]), (2, [])])
def test_wherever_it_is_cut_off_it_goes_on_from_there(topology: tuple[int, list[str]], strategy: str) -> None:
    for cut in itertools.count():
        there = flips(*topology, strategy)
        there.faults = Faults(cut_after=cut)
        try:
            run(there)
            break
        except CutOff:
            stood = min((there.mixed(name).step for name, host in there.hosts.items() if host.pools), default=-1)
        there.faults, there.shifts = Faults(), []
        assert run(there).ok
        through(there)
        if stood > 0:
            assert min(weight for _where, weight in there.shifts) == WEIGHTS[stood - 1], "it began anew"
    assert cut > 10


@pytest.mark.parametrize("lost", ["lb1", "app2"])
def test_whenever_a_host_is_lost_what_it_may_still_serve_is_left_as_it_is(lost: str) -> None:
    for call in range(1, 12):
        there = flips(2, ["lb1", "lb2"], "blue_green")
        there.faults = Faults(lost=(lost, call))
        run(there)
        assert all(there.serving(name) for name in ("lb1", "lb2"))
        there.faults = Faults()
        assert run(there).ok
        through(there)


def test_one_that_dies_before_it_takes_over_is_told_and_no_balancer_is_moved() -> None:
    there = flips(1, ["lb1"], "blue_green")
    there.faults = Faults(dies=("app1/green", 3))
    done = run(there)
    assert "app1/green was swapped and is not as wished again" in done.blocked
    assert there.shifts == [] and there.serving("lb1") == {"app1/blue"}


def test_a_host_in_maintenance_is_left_alone_and_comes_back_in_one_step() -> None:
    there = flips(2, ["lb1"], "canary")
    pools = there.mixed("lb1")
    mark = {"by": "ann", "why": "disk", "since": 1.0}
    pools.marks = {"app1/blue": mark, "app1/green": mark}
    pools.serve(["app2/blue"], (), -1)
    assert run(there).ok
    assert there.serving("lb1") == {"app2/green"}
    assert [there.slot(f"app1/{slot}").running for slot in ("blue", "green")] == [OLD, None]
    there.shifts, there.chosen = [], frozenset(pools.marks)
    for host in there.hosts.values():
        host.wish = replace(host.wish, lifting=tuple(pools.marks))
    there.begin()
    assert _runner.swap(there.wishes, there, lambda _told: None, _runner.Policy(chosen=there.chosen, terms=NOTHING_TO_WAIT_FOR)).ok
    assert there.shifts == [("lb1", 100.0)] and there.serving("lb1") == {"app1/green", "app2/green"}
    assert there.slot("app1/blue").running is None


@pytest.mark.parametrize("balancers", [[], ["lb1", "lb2"]])
def test_from_rolling_one_slot_of_each_host_leaves_first_and_never_both(balancers: list[str]) -> None:
    there = flips(2, balancers, "blue_green", idle=Slot())
    there.width = 2
    for name in balancers or ["app1", "app2"]:
        pools = there.mixed(name)
        pools.serve([member.id for member in there.hosts[name].wish.pool], (), -1)
        pools.declare([pools.serving])
    assert run(there).ok
    through(there)
    first = next(number for number, step in enumerate(there.done) if step.name == "shift")
    assert {step.members[0].split("/")[1] for step in there.done[:first] if step.name == "stop"} == {"blue"}


def test_a_slot_in_maintenance_is_not_stopped_as_an_old_one() -> None:
    there = flips(1, ["lb1"], "blue_green", idle=Slot(running="v0", current="v0"))
    there.mixed("lb1").marks = {"app1/green": {"by": "ann", "why": "disk", "since": 1.0}}
    run(there)
    assert there.slot("app1/green").running == "v0"


TOPOLOGIES = st.sampled_from([(1, []), (2, []), (1, ["lb1"]), (2, ["lb1", "lb2"]), (3, ["lb1"])])


@SIMULATED
@given(TOPOLOGIES, st.sampled_from(["blue_green", "canary"]), st.booleans(), st.integers(0, 40), st.integers(0, 9))
def test_a_run_cut_off_after_any_step_is_completed_by_running_again(topology: tuple[int, list[str]], strategy: str, warm: bool, cut: int, seed: int) -> None:
    there = flips(*topology, strategy, idle=Slot(running="v0", current="v0") if warm else None)
    there.faults, there.chance, there.sliced = Faults(cut_after=cut), random.Random(seed), bool(seed % 2)
    try:
        assert run(there).ok
    except CutOff:
        for name, host in there.hosts.items():
            if host.pools:
                reached = there.serving(name) - (set(there.mixed(name).entering) if there.mixed(name).step == 0 else set())
                assert reached and all(there.slot(member).answers for member in reached)
    there.faults = Faults()
    done = run(there)
    assert done.ok, _runner.message(done, there.wishes)
    through(there)
    assert not run(there).changed


@SIMULATED
@given(TOPOLOGIES, st.sampled_from(["blue_green", "canary"]), st.data())
def test_whatever_fails_no_balancer_is_without_a_member_that_answers_and_running_again_completes_it(
    topology: tuple[int, list[str]], strategy: str, data: st.DataObject
) -> None:
    there = flips(*topology, strategy)
    names = [name for name, host in there.hosts.items() if host.pools]
    member = data.draw(st.sampled_from([member.id for member in there.members() if member.slot == "green"]))
    faults = [
        Faults(fail=(member, data.draw(st.sampled_from(["start", "check", "shift", "drain"])))),
        Faults(refuses={(data.draw(st.sampled_from(names)), member)}),
        Faults(lost=(data.draw(st.sampled_from(list(there.hosts))), data.draw(st.integers(0, 12)))),
        Faults(dies=(member, data.draw(st.integers(0, 12)))),
    ]
    there.faults = data.draw(st.sampled_from(faults))
    dies = there.faults.dies
    done = run(there)
    for name in names:
        reached = there.serving(name) - set(there.mixed(name).entering)
        assert reached, f"{name} serves nobody"
        if not dies:
            assert all(there.slot(one).answers for one in reached)
    there.faults = Faults()
    done = run(there)
    assert done.ok, _runner.message(done, there.wishes)
    through(there)


def test_the_plan_of_check_mode_is_what_the_run_does() -> None:
    there = flips(2, ["lb1"], "canary")
    planned = _runner.preview(there.wishes, {name: host.seen() for name, host in there.hosts.items()})
    assert run(there).ok
    assert sorted((step.name, step.host, step.members, step.weight) for step in planned.planned) == sorted(
        (step.name, step.host, step.members, step.weight) for step in there.done
    )


def test_what_is_left_is_nothing_when_one_slot_of_each_host_serves_the_release() -> None:
    there = flips(2, ["lb1"], "blue_green")
    assert run(there).ok
    world = World({wish.host: wish for wish in there.wishes}, [host.seen() for host in there.hosts.values()])
    assert _planner.left(world) is None
    assert _flip.sides(world).entering == ("app1/green", "app2/green")
