# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What to do next: a pure function of what is wished and what was seen. No I/O, no Ansible, no memory.

The planner names the next members and the rounds of steps for them. The runner does those, looks again and asks again.
So an interrupted run is completed by running again, a drift is repaired in the same way, and ``--check`` prints the very
same plan.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import SlotState

from . import _flip
from ._rounds import Batch, Round, Target, leaves, make, reloads, runs_as_wished, stays
from ._world import World

__all__ = [
    "Batch",
    "Blocked",
    "Done",
    "Fallen",
    "Round",
    "Target",
    "as_it_had",
    "as_it_is",
    "batches",
    "course",
    "declared_first",
    "left",
    "make",
    "out",
    "plan",
    "put",
    "runs_as_wished",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Done:
    """Every member is as wished."""


@dataclass(frozen=True)
class Blocked:
    """Something on ``host`` must be mended by a person first."""

    reason: str
    host: str = ""


@dataclass(frozen=True)
class Fallen:
    """The member was swapped, and is not as wished again: trying once more would never end."""

    member: str


def satisfied(wish: Wish, member: Member, world: World) -> bool:
    """Whether every balancer serves the member, with the wished release and configuration, in health."""
    slot = world.slot(member)
    return runs_as_wished(wish, slot) and slot.healthy and all(world.serves(name, member.id) for name in wish.balancers)


def serves(wish: Wish, member: Member, world: World) -> bool:
    """Whether the member answers requests now: it runs, is healthy, and a balancer gives it some."""
    slot = world.slot(member)
    return slot.running and slot.healthy and slot.listener == "own" and any(world.serves(name, member.id) for name in wish.balancers)


def queue(world: World) -> list[str]:
    """The hosts with something to do, in order: what does not serve first (repairing it costs no capacity), then as in the inventory."""
    mine = {wish.host: _concerned(wish, world) for wish in world.wishes.values() if wish.host in world}
    busy = [host for host, members in mine.items() if any(not satisfied(world.wishes[host], member, world) for member in members)]
    return sorted(busy, key=lambda host: all(serves(world.wishes[host], member, world) for member in mine[host]))


def _concerned(wish: Wish, world: World) -> list[Member]:
    """The host's members that the run is about."""
    return [member for member in wish.members if not world.is_left_alone(member.id)]


def widths(serial: Sequence[str], hosts: int) -> Iterator[int]:
    """How many hosts each batch has, without end: numbers and percentages of ``hosts``, the last one again and again."""
    count = 1
    for text in serial:
        count = max(1, math.floor(hosts * float(text[:-1]) / 100) if text.endswith("%") else int(text))
        yield count
    while True:
        yield count


def _waves(items: Iterable[T], sizes: Iterator[int]) -> Iterator[list[T]]:
    """The items in their order, so many at a time."""
    left = iter(items)
    for size in sizes:
        now = list(itertools.islice(left, size))
        if not now:
            return
        yield now


def batches(wishes: Sequence[Wish], serial: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The members that leave together when all of these hosts are swapped: what the balancers' pools foresee."""
    if any(wish.flips for wish in wishes):  # one slot of every host serves, or the other
        return tuple(tuple(member.id for member in column if member) for column in itertools.zip_longest(*(wish.members for wish in wishes)))
    found: list[tuple[str, ...]] = []
    for now in _waves(wishes, widths(serial, len(wishes))):
        orders = [sorted(wish.members, key=lambda member: not member.backup) for wish in now]
        found += [tuple(member.id for member in column if member) for column in itertools.zip_longest(*orders)]
    return tuple(batch for batch in found if len(batch) > 1)


def course(world: World, serial: Sequence[str], apart: bool = False) -> Iterator[Batch | Blocked | Fallen]:
    """Batch after batch, until all is as wished. Who asks for the next one has done, or assumed in ``world``, the one before.

    ``apart``: no host does more than one member in a batch.

    After :class:`Blocked` or :class:`Fallen`, asking again makes sense only if the world has changed.
    """
    if any(wish.flips for wish in world.wishes.values()):
        yield from _flips(world)
        return
    width = widths(serial, sum(bool(wish.members) for wish in world.wishes.values()))
    walked: set[tuple[str, bool]] = set()  # in place, and, where that was in vain, by a swap
    for now in _waves(queue(world), width):
        while not isinstance(decision := plan(world, now, apart), Done):
            ways = decision.ways if isinstance(decision, Batch) else frozenset()
            again = walked & ways
            walked |= ways
            yield Fallen(min(again)[0]) if again else decision


def _flips(world: World) -> Iterator[Batch | Blocked | Fallen]:
    """The batches of a run where one slot of each host takes over from the other."""
    found = _flip.sides(world)
    targets = _flip.to_bring_up(found, world)
    if targets:
        fitting, why = _fitting(targets, world)
        if len(fitting) < len(targets):
            yield why
            return
        yield make(targets, world)
        wrong = [target.member.id for target in _flip.to_bring_up(found, world)]
        if wrong:
            yield Fallen(wrong[0])
            return
    for weight in _flip.weights_left(found, world):
        yield _flip.shift(found, weight, world)
    over = _flip.to_end(found, world)
    if over:
        yield make(over, world)


def left(world: World) -> Batch | Blocked | Fallen | None:
    """What is still to be done, None if all is as wished."""
    return next(course(world, ("100%",)), None)


def plan(world: World, hosts: Iterable[str], apart: bool = False) -> Batch | Blocked | Done:
    """The next members of ``hosts`` with their steps, :class:`Done`, or why nothing can be done.

    One member of each host at a time: what does not serve first, then a host's standby before its primary. A host
    that is the only balancer of its members needs nobody else: all of its members come in one, unless they shall be ``apart``.
    """
    wishes = [world.wishes[host] for host in hosts if host in world]
    first = [target for target in (_next(wish, world) for wish in wishes) if target]
    if not first:
        return Done()
    urgent = [target for target in first if not serves(target.wish, target.member, world)] or first
    fitting, why = _fitting(urgent, world)
    if not fitting:
        return why
    chains = {target.wish.host: _chain(target, world) for target in fitting if not target.wish.others and not apart}
    batch = make([target for target in fitting if target.wish.host not in chains], world)
    chained = tuple(dict.fromkeys(step.members[0] for steps in chains.values() for step in steps if step.name == "check"))
    return replace(batch, members=(*batch.members, *chained), work={**batch.work, **chains})


def _next(wish: Wish, world: World) -> Target | None:
    """The host's next member."""
    left = [member for member in _concerned(wish, world) if not satisfied(wish, member, world)]
    if not left:
        return None
    return Target(wish, min(left, key=lambda member: (serves(wish, member, world), not member.backup)), wish.release, wish.balancers)


def _fitting(targets: Iterable[Target], world: World) -> tuple[list[Target], Blocked]:
    """Those of the members, in order, that may be worked on at the same time; and why the first other one may not."""
    fitting: list[Target] = []
    taken: dict[str, int] = {}
    why = Blocked("")
    for target in targets:
        refusal, missed = _refusal(target, world, taken)
        if refusal:
            why = why if why.reason else refusal
        else:
            fitting.append(target)
            for name in missed:
                taken[name] = taken.get(name, 0) + 1
    return fitting, why


def _refusal(target: Target, world: World, taken: dict[str, int]) -> tuple[Blocked | None, list[str]]:
    """Why the member may not be worked on, when so many were taken from each balancer; and which balancers miss it if it may. A dead one costs nothing."""
    wish, member = target.wish, target.member.id
    unknown = [name for name in wish.balancers if name not in world]
    if unknown and not stays(target, world) and not reloads(target, world):
        return Blocked(f"{member} cannot be worked on: {', '.join(unknown)} may still serve it, and was not seen.", unknown[0]), []
    missed = [name for name in wish.balancers if world.answers(member) and leaves(target, name, world)]
    for name in missed:
        if world.room(name) - taken.get(name, 0) < 1:
            return _undercut(member, name, world, taken.get(name, 0)), []
    return None, missed


def _undercut(member: str, balancer: str, world: World, taken: int, also: str = "") -> Blocked:
    need, dead = world.wishes[balancer].min_serving, world.silent(balancer)
    hint = f" ({', '.join(dead)} {'does' if len(dead) == 1 else 'do'} not answer)" if dead else ""
    return Blocked(
        f"{member} cannot be taken out: {world.room(balancer) + need - taken - 1} would serve{hint} on {balancer}, bluegreen_min_serving is {need}. "
        f"Repair the others, or accept the downtime with bluegreen_min_serving: 0.{also}",
        balancer,
    )


# Out, for maintenance.


def out(members: Sequence[str], world: World) -> Batch | Blocked:
    """The round that takes these members out of every balancer, all at once; their processes stay as they are."""
    part: dict[str, tuple[Step, ...]] = {}
    for name in dict.fromkeys(name for member in members for name in _wish_of(member, world).balancers):
        mine = [member for member in members if name in _wish_of(member, world).balancers]
        if name not in world:
            return Blocked(f"{', '.join(mine)} cannot be taken out: {name} may still serve it, and was not seen.", name)
        away = tuple(member for member in mine if world.serves(name, member))
        missed = [member for member in away if world.answers(member)]
        if missed and world.room(name) < len(missed):
            alone = all(_wish_of(member, world).balancers == (name,) for member in missed) and all(member.startswith(f"{name}/") for member in missed)
            also = f" {name}'s own nginx is the only one that serves its slots: take the host out of what stands before it first." if alone else ""
            return _undercut(" and ".join(missed), name, world, len(missed) - 1, also)
        if away:
            pools = tuple(world.undeclared(name, (away,)))
            declare = (Step("declare", name, away, pools=pools),) if pools else ()
            part[name] = (*declare, Step("switch", name, away), Step("drain", name, away))
    return Batch(tuple(members), part, {}, {})


def _wish_of(member: str, world: World) -> Wish:
    return world.wishes[member.partition("/")[0]]


def _chain(target: Target, world: World) -> tuple[Step, ...]:
    """All steps of a host that needs nobody else, member after member, as far as the plan reaches if all goes well; what it declares comes first."""
    here = world.only(target.wish.host)
    steps: list[Step] = []
    seen: set[str] = set()
    following: Target | None = target
    while following and following.member.id not in seen and not _refusal(following, here, {})[0]:
        seen.add(following.member.id)
        now = make([following], here).steps
        for step in now:
            here.assume(step)
        steps += now
        following = _next(following.wish, here)
    declared, rest = declared_first(steps)
    return (*(step for part in declared.values() for step in part), *rest)


def declared_first(steps: Iterable[Step], hosts: Iterable[str] | None = None) -> tuple[Round, list[Step]]:
    """What these steps declare (on ``hosts``, by default on all) in one go for each host, and the other steps."""
    pools: dict[str, dict[tuple[str, ...], None]] = {}
    rest: list[Step] = []
    chosen = None if hosts is None else frozenset(hosts)
    for step in steps:
        if step.name == "declare" and (chosen is None or step.host in chosen):
            pools.setdefault(step.host, {}).update(dict.fromkeys(step.pools))
        else:
            rest.append(step)
    return {host: (Step("declare", host, (), pools=tuple(found)),) for host, found in pools.items()}, rest


# The way back.


def put(target: Target, world: World) -> Batch | Blocked:
    """The rounds that bring one member back, or to the end of its way; none if there is nothing to do.

    While a balancer that may still serve it cannot be asked, its process is not touched: it only leaves the others.
    """
    if stays(target, world) and all(world.serves(name, target.member.id) for name in target.onto if name in world):
        return Batch((target.member.id,), {}, {}, {})
    asked = tuple(name for name in target.wish.balancers if name in world)
    refusal, _other = _refusal(replace(target, wish=replace(target.wish, balancers=asked)), world, {})
    if refusal:
        return refusal
    batch = make([target], world)
    if stays(target, world) or asked == target.wish.balancers:
        return batch
    return Batch(batch.members, _only_out(batch.leave), _only_out(batch.work), {}, farewell=_only_out(batch.farewell))


def _only_out(part: Round) -> Round:
    kept = {host: tuple(step for step in steps if step.name in ("declare", "switch")) for host, steps in part.items()}
    return {host: steps for host, steps in kept.items() if steps}


def as_it_is(wish: Wish, member: Member, world: World, onto: tuple[str, ...]) -> Target | None:
    """The member with the process it has, again on these balancers if it is healthy; None if that is one of the wished release that is not."""
    slot = world.slot(member)
    if slot.release == wish.release and not slot.healthy:
        return None
    return Target(wish, member, slot.release, onto if slot.healthy else (), restore=True, keep=True)


def as_it_had(wish: Wish, member: Member, before: World) -> Target:
    """The member with the release and the start that it had when the run began."""
    return Target(wish, member, had_release(wish, before.slot(member)), wish.balancers, restore=True)


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


def was_swapped_before(wish: Wish, slot: SlotState) -> bool:
    """Whether it ran the wished release with the wished start already when the run began: there is nothing of this run to take back."""
    return slot.running and slot.release == wish.release and not slot.pending
