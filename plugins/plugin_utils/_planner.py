# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do next: a pure function of what is wished and what was seen. No I/O, no Ansible, no memory.

The planner names the steps for a batch of members, in rounds: a round's hosts work at the same time, and the next round
begins when all of them are through. The runner does them, looks again and asks again. So an interrupted run is
completed by running again, a drift is repaired in the same way, and ``--check`` prints the very same plan.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pools
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import BalancerState, HostState, Member, SlotState, Step, Wish

Wishes = Mapping[str, Wish]  # by host, in the order of the walk: those with members, and their balancers
World = Mapping[str, HostState]  # by host; a host that is lost or was left out is not in it
Round = Mapping[str, tuple[Step, ...]]  # by host

_STOPPED = frozenset({"STOPPED", "EXITED", "FATAL", "ABSENT", "UNKNOWN"})


@dataclass(frozen=True)
class Done:
    """Every member is as wished."""


@dataclass(frozen=True)
class Blocked:
    """Something on ``host`` must be mended by a person first."""

    reason: str
    host: str = ""


@dataclass(frozen=True)
class Batch:
    """The rounds that bring these members where they shall be."""

    members: tuple[str, ...]
    rounds: tuple[Round, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for part in self.rounds for steps in part.values() for step in steps)


Decision = Done | Blocked | Batch


@dataclass(frozen=True)
class Target:
    """Where one member shall be; ``release`` None means stopped and out.

    ``restore``: with the start it had; ``expected`` is then what that release answers rightly, if not what is wished.
    """

    wish: Wish
    member: Member
    release: str | None
    restore: bool = False
    expected: Mapping[str, object] = field(default_factory=dict)


def satisfied(wish: Wish, member: Member, world: World) -> bool:
    """Whether every balancer serves the member, with the wished release and configuration, in health."""
    state = world[wish.host].slots[member.slot]
    return runs_as_wished(wish, state) and state.healthy and all(world[name].serves(member.id) for name in wish.balancers if name in world)


def runs_as_wished(wish: Wish, state: SlotState) -> bool:
    """Whether the running process is the wished release, started as wished, on its own port."""
    return state.running and state.release == state.current == wish.release and not state.pending and state.listener == "own"


def boots_as_wished(wish: Wish, slot: SlotState) -> bool:
    """Whether it was started by a run that was cut off, and does not listen yet."""
    return slot.running and slot.release == slot.current == wish.release and not slot.pending and slot.listener == "none"


def queue(wishes: Wishes, world: World) -> list[str]:
    """The hosts with something to do, in order: what does not serve first (repairing it costs no capacity), then as in the inventory."""
    hosts = [wish for wish in wishes.values() if wish.host in world and any(not satisfied(wish, member, world) for member in wish.members)]
    return [wish.host for wish in sorted(hosts, key=lambda wish: not any(_is_dead(wish, member, world) for member in wish.members))]


def _is_dead(wish: Wish, member: Member, world: World) -> bool:
    return not _serves(wish, member, world) and not satisfied(wish, member, world)


def widths(serial: Sequence[str], hosts: int) -> Iterator[int]:
    """How many hosts each batch has, without end: numbers and percentages of ``hosts``, the last one again and again."""
    count = 1
    for text in serial:
        count = max(1, math.floor(hosts * float(text[:-1]) / 100) if text.endswith("%") else int(text))
        yield count
    while True:
        yield count


def batches(wishes: Sequence[Wish], serial: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The members that leave together when all of these hosts are swapped: what the balancers' pools foresee."""
    found: list[tuple[str, ...]] = []
    left, width = list(wishes), widths(serial, len(wishes))
    while left:
        count = next(width)
        now, left = left[:count], left[count:]
        orders = [sorted(wish.members, key=lambda member: not member.backup) for wish in now]
        for number in range(max(map(len, orders), default=0)):
            found.append(tuple(order[number].id for order in orders if number < len(order)))
    return tuple(batch for batch in found if len(batch) > 1)


def plan(wishes: Wishes, world: World, hosts: Collection[str] | None = None) -> Decision:
    """The next members of ``hosts`` (of all, by default) with their steps, :class:`Done`, or why nothing can be done.

    One member of each host at a time: what does not serve first, then a host's standby before its primary. A host
    that is the only balancer of its members needs nobody else: all of its members come in one.
    """
    chosen = [wish for wish in wishes.values() if wish.host in world and (hosts is None or wish.host in hosts)]
    first = [found for found in (_next(wish, world) for wish in chosen) if found]
    if not first:
        return Done()
    urgent = [target for target in first if not _serves(target.wish, target.member, world)] or first
    waiting, why = [], ("", "")
    for target in urgent:
        reason = _undercut([other.member for other in (*waiting, target)], target.wish, wishes, world)
        if reason[0]:
            why = why if why[0] else reason
        else:
            waiting.append(target)
    if not waiting:
        return Blocked(*why)
    alone = [_alone(target, wishes, world) for target in waiting if is_contained(target.wish)]
    shared = _rounds([target for target in waiting if not is_contained(target.wish)], world, wishes)
    if alone and shared:  # two kinds of hosts in one fleet: those that need nobody come first
        shared = ()
        waiting = [target for target in waiting if is_contained(target.wish)]
    if alone:
        members = tuple(step.members[0] for steps in alone for step in steps if step.name == "check")
        return Batch(members, ({steps[0].host: steps for steps in alone},))
    return Batch(tuple(target.member.id for target in waiting), shared)


def is_contained(wish: Wish) -> bool:
    """Whether the host is the only balancer of its members: nobody else takes part in their swap."""
    return wish.balancers == (wish.host,)


def _next(wish: Wish, world: World) -> Target | None:
    """The host's next member."""
    open_members = [member for member in wish.members if not satisfied(wish, member, world)]
    if not open_members:
        return None
    member = min(open_members, key=lambda item: (_serves(wish, item, world), not item.backup))
    return Target(wish, member, wish.release)


def _alone(target: Target, wishes: Wishes, world: World) -> tuple[Step, ...]:
    """All steps of a contained host, member after member, as far as the plan reaches if all goes well."""
    wish, here = target.wish, dict(world)
    steps: list[Step] = []
    seen: set[str] = set()
    following: Target | None = target
    while following and following.member.id not in seen:
        if steps and _undercut([following.member], wish, wishes, here)[0]:
            break
        seen.add(following.member.id)
        now = [step for part in _rounds([following], here, wishes) for step in part[wish.host]]
        for step in now:
            here[wish.host] = assume(here[wish.host], step)
        steps += now
        following = _next(wish, here)
    return tuple(steps)


def _serves(wish: Wish, member: Member, world: World) -> bool:
    """Whether the member answers requests now: it runs, is healthy, and a balancer gives it some."""
    slot = world[wish.host].slots[member.slot]
    return slot.running and slot.healthy and slot.listener == "own" and any(world[name].serves(member.id) for name in wish.balancers if name in world)


def _undercut(leaving: Sequence[Member], wish: Wish, wishes: Wishes, world: World) -> tuple[str, str]:
    """Why these members cannot leave the balancers of ``wish`` together, and whose refusal it would be; ('', '') if they can.

    A dead one costs nothing. A member that was not looked at is believed here: the balancer itself asks, on the spot.
    """
    for name in wish.balancers:
        state = world[name].balancer if name in world else None
        if state is None:
            continue
        gone = {member.id for member in leaving if member.id in state.serving}
        if not any(_answers(member, wishes, world) for member in gone):
            continue
        need = wishes[name].min_serving
        stay, dead = 0, []
        for other in state.serving:
            if stay >= need:
                break
            if other in gone:
                continue
            if _answers(other, wishes, world):
                stay += 1
            else:
                dead.append(other)
        if stay < need:
            hint = f" ({', '.join(dead)} {'does' if len(dead) == 1 else 'do'} not answer)" if dead else ""
            return (
                f"{', '.join(sorted(gone))} cannot be taken out: {stay} would serve{hint} on {name}, bluegreen_min_serving is {need}. "
                "Repair the others, or accept the downtime with bluegreen_min_serving: 0.",
                name,
            )
    return "", ""


def _answers(member: str, wishes: Wishes, world: World) -> bool:
    host, _, slot = member.partition("/")
    if host not in world or slot not in world[host].slots:
        return True
    return world[host].slots[slot].healthy


def _rounds(targets: Sequence[Target], world: World, wishes: Wishes) -> tuple[Round, ...]:
    """Out of the balancers, the work on the members' own hosts, back into the balancers; a host alone does all of it in one round."""
    if not targets:
        return ()
    make = _Maker(world, wishes)
    leave, work, enter = make.leave(targets), make.work(targets), make.enter(targets)
    if len(targets) == 1 and is_contained(targets[0].wish):
        host = targets[0].wish.host
        return ({host: (*leave.get(host, ()), *work.get(host, ()), *enter.get(host, ()))},)
    return tuple(part for part in (leave, work, enter) if part)


@dataclass(frozen=True)
class _Maker:
    """Makes the steps of some members, each round for all of them together."""

    world: World
    wishes: Wishes

    def _slot(self, target: Target) -> SlotState:
        return self.world[target.wish.host].slots[target.member.slot]

    def _stays(self, target: Target) -> bool:
        """Whether the process is the right one already and only its checks, or a balancer, are missing."""
        slot, wish = self._slot(target), target.wish
        if target.restore:
            untouched = slot.running and slot.release == slot.current == target.release
            return untouched and slot.release != wish.release and slot.state == "RUNNING"
        promising = slot.healthy or slot.uptime <= wish.boot_timeout
        return promising and (runs_as_wished(wish, slot) or boots_as_wished(wish, slot))

    def _balancers(self, targets: Sequence[Target]) -> dict[str, list[Target]]:
        """Which balancers that can be reached have to do with which of the members."""
        found: dict[str, list[Target]] = {}
        for target in targets:
            for name in target.wish.balancers:
                if name in self.world and self.world[name].balancer is not None:
                    found.setdefault(name, []).append(target)
        return found

    def leave(self, targets: Sequence[Target]) -> Round:
        """Each balancer away from those that will be stopped or checked, and their connections ended.

        What it lacks of pools, for leaving and for coming back, is declared first.
        """
        found: dict[str, tuple[Step, ...]] = {}
        for name, mine in self._balancers(targets).items():
            away, back = self._away(name, mine), [target.member.id for target in self._back(name, mine)]
            busy = tuple(target.member.id for target in mine if self._slot(target).running and not self._stays(target))
            steps = self._declare(name, away, back)
            if away:
                steps.append(Step("switch", name, away, expected=self._expected(name, away)))
            if busy:
                steps.append(Step("drain", name, busy))
            if steps:
                found[name] = tuple(steps)
        return found

    def _away(self, name: str, mine: Sequence[Target]) -> tuple[str, ...]:
        serves = self.world[name].serves
        return tuple(target.member.id for target in mine if serves(target.member.id) and not self._is_right(target))

    def _back(self, name: str, mine: Sequence[Target]) -> list[Target]:
        serves = self.world[name].serves
        return [target for target in mine if target.release is not None and not (serves(target.member.id) and self._is_right(target))]

    def _is_right(self, target: Target) -> bool:
        return self._stays(target) and self._slot(target).healthy

    def _declare(self, name: str, away: Sequence[str], back: Sequence[str]) -> list[Step]:
        """The step that declares the pools of these two changes, where the serving configuration does not have them."""
        state = self.world[name].balancer or BalancerState()
        serving = frozenset(state.serving)
        changes = [change for change in (away, [member for member in back if member not in serving]) if change]
        missing = [change for change in changes if not (state.loaded and _pools.changed(state.active or _pools.name(()), change) in state.pools)]
        pools = tuple(tuple(sorted(serving ^ frozenset(change))) for change in missing)
        return [Step("declare", name, (*away, *(member for member in back if member not in away)), pools=pools)] if pools else []

    def work(self, targets: Sequence[Target]) -> Round:
        return {target.wish.host: steps for target in targets for steps in [tuple(self._work(target))] if steps}

    def _work(self, target: Target) -> Iterator[Step]:
        slot, host, ids = self._slot(target), target.wish.host, (target.member.id,)
        release = target.release or ""
        if not self._stays(target):
            if slot.running or slot.state not in _STOPPED:
                yield Step("stop", host, ids, release, target.restore)
            if target.release is not None:
                yield Step("point", host, ids, release, target.restore)
                yield Step("start", host, ids, release, target.restore)
        if target.release is not None:
            yield Step("check", host, ids, release, target.restore)

    def enter(self, targets: Sequence[Target]) -> Round:
        """Each balancer back to those of its members that have a release."""
        found: dict[str, tuple[Step, ...]] = {}
        for name, mine in self._balancers(targets).items():
            back = self._back(name, mine)
            if back:
                expected = {target.member.id: dict(target.expected) for target in back if target.expected}
                ids = tuple(target.member.id for target in back)
                found[name] = (Step("enable", name, ids, back[0].release or "", back[0].restore, expected=expected),)
        return found

    def _expected(self, name: str, leaving: Collection[str]) -> dict[str, dict[str, object]]:
        """What those who stay answer rightly, where it is not the wish's answer; a balancer knows its own slots itself."""
        state = self.world[name].balancer or BalancerState()
        found = {}
        for other in state.serving:
            host, _, slot = other.partition("/")
            if other not in leaving and host != name and host in self.world and slot in self.world[host].slots:
                expected = self.world[host].slots[slot].expected
                if expected:
                    found[other] = expected
        return found


def missing_pools(wishes: Wishes, world: World, hosts: Iterable[Sequence[str]]) -> Round:
    """The pools that the coming batches of hosts need and that a balancer does not serve: declared in one go, before anything is touched."""
    groups = [[wishes[host] for host in batch if not is_contained(wishes[host])] for batch in hosts]
    coming = [batch for group in groups for batch in batches(group, (str(max(len(group), 1)),))]
    found = {}
    for name, wish in wishes.items():
        state = world[name].balancer if name in world else None
        if state is None or not state.active or not coming:
            continue
        serving = frozenset(state.serving)
        wanted = {serving - frozenset(batch) for batch in coming} - {serving}
        pools = [tuple(sorted(pool)) for pool in wanted if _pools.name(pool) not in state.pools]
        if pools and wish.pool:
            found[name] = (Step("declare", name, (), pools=tuple(sorted(pools))),)
    return found


def put_back(target: Target, wishes: Wishes, world: World) -> tuple[Round, ...]:
    """The rounds that bring a failed member, or one that was swapped, back to what it had; without a release it stays out.

    A member that never left its balancers and runs what it had needs nothing; one whose old process still runs is only enabled again.
    """
    here = world[target.wish.host]
    slot = here.slots[target.member.slot]
    serves = all(world[name].serves(target.member.id) for name in target.wish.balancers if name in world)
    if serves and slot.running and (slot.release == target.release or slot.release != target.wish.release):
        return ()
    return _rounds([target], world, wishes)


def had_release(wish: Wish, slot: SlotState) -> str | None:
    """The release to put a member back to, judged by how it was seen when the run began.

    That is the one it used. If it was the wished one already: with another start, the same release with the start it
    had; not known to be good (a run was cut off), the one before; good and dead now, there is nothing to go back to.
    """
    if slot.current != wish.release:
        return slot.current
    if slot.mark == "good":
        return slot.current if slot.pending else None
    return slot.previous if slot.previous != wish.release else None


def assume(state: HostState, step: Step) -> HostState:
    """The host after the step, if it goes well: for printing a plan in check mode, and for planning ahead."""
    balancer = state.balancer
    if balancer is not None:
        if step.name == "declare":
            balancer = replace(balancer, pools=(*balancer.pools, *map(_pools.name, step.pools)), loaded=True)
        elif step.name in ("switch", "enable"):
            moved = [member for member in step.members if (member in balancer.serving) == (step.name == "switch")]
            serving = frozenset(balancer.serving) ^ frozenset(moved)
            active = _pools.changed(balancer.active, moved) if balancer.active else ""
            balancer = replace(balancer, active=active, serving=tuple(sorted(serving)))
        if balancer is not state.balancer:
            return replace(state, balancer=balancer)
    found = dict(state.slots)
    for member in step.members:
        slot = found.get(member.partition("/")[2]) if member.startswith(f"{state.host}/") else None
        if slot is not None:
            found[member.partition("/")[2]] = _assume_slot(slot, step)
    return replace(state, slots=found)


def _assume_slot(slot: SlotState, step: Step) -> SlotState:
    if step.name == "drain":
        return replace(slot, connections=0)
    if step.name == "stop":
        return replace(slot, state="STOPPED", pid=0, release=None, listener="none", healthy=False, uptime=0.0)
    if step.name == "point":
        previous = slot.current if slot.current != step.release else slot.previous
        return replace(slot, current=step.release, previous=previous, pending=False)
    if step.name == "start":
        return replace(slot, state="STARTING", pid=1, release=slot.current, uptime=0.0)
    if step.name == "check":
        return replace(slot, state="RUNNING", listener="own", healthy=True, mark="good")
    return slot
