# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One slot of each host serves and the other one takes over: what to do next, for blue/green and canary. Pure.

The release is brought up in the idle slot of every host, all at the same time. Then the balancers move to it together,
step by step: the preview, where only testers reach it, the canary's weights, all requests. Nothing is remembered: where
the balancers stand says which step is next, so a run that was cut off goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member

from ._rounds import Batch, Round, Target, hooks_of, runs_as_wished
from ._world import World

ALL = 100.0  # percent


@dataclass(frozen=True)
class Sides:
    """Who takes over and who is replaced, of the hosts that the run is about; a host may have nobody to replace."""

    new: tuple[tuple[Wish, Member], ...]
    old: tuple[tuple[Wish, Member], ...]

    @property
    def entering(self) -> tuple[str, ...]:
        return tuple(member.id for _wish, member in self.new)

    @property
    def leaving(self) -> tuple[str, ...]:
        return tuple(member.id for _wish, member in self.old)


def sides(world: World) -> Sides:
    """The slot of each host that the release shall run in, and the others."""
    wishes = [wish for wish in world.wishes.values() if wish.host in world and any(not world.is_left_alone(member.id) for member in wish.members)]
    pairs = [(wish, _newcomer(wish, world)) for wish in wishes]
    others = [(wish, member) for wish, new in pairs for member in wish.members if member.id != new.id and not world.is_left_alone(member.id)]
    return Sides(tuple(pairs), tuple(others))


def _newcomer(wish: Wish, world: World) -> Member:
    """Nobody whom a person works on; who runs the release already and serves; else who runs it.

    Else who shares requests with a release that is not wished any more, else who is idle.
    """

    def rank(member: Member) -> tuple[bool, ...]:
        slot = world.slot(member)
        right = runs_as_wished(wish, slot) and slot.healthy
        serves = _serves(wish, member, world)
        return (world.is_left_alone(member.id), not (right and serves), not right, serves and not _enters(wish, member, world), serves, slot.running)

    return min(wish.members, key=rank)  # of equals, the first one


def _serves(wish: Wish, member: Member, world: World) -> bool:
    return any(world.serves(name, member.id) for name in wish.balancers)


def _enters(wish: Wish, member: Member, world: World) -> bool:
    return any(name in world and member.id in world.entering(name) for name in wish.balancers)


def is_ready(wish: Wish, member: Member, world: World) -> bool:
    """Whether it is what a member that takes over must be."""
    slot = world.slot(member)
    return runs_as_wished(wish, slot) and slot.healthy


def weights_left(found: Sides, world: World) -> list[float]:
    """The steps that are still to be done: none where the new ones alone serve.

    One is enough for a rollback, for who comes back from maintenance, and where a balancer has nobody else to serve, because it moved before a run was cut off.
    Where none of the others answers, there is nobody to share with.
    """
    balancers = _balancers(found, world)
    if not found.new or all(_is_through(found, name, world) for name in balancers):
        return []
    wish, entering = found.new[0][0], frozenset(found.entering)
    others = {member for name in balancers for member in world.serving(name) - entering}
    if wish.rollback or wish.lifting or not all(world.serving(name) - entering for name in balancers):
        return [ALL]
    weights = wish.mixing.weights if wish.strategy == "canary" and any(map(world.answers, others)) else ()
    reached = min((world.step(name) if world.entering(name) <= entering else -1) for name in balancers)
    return [0.0, *weights, ALL][max(0, reached) :]


def _balancers(found: Sides, world: World) -> list[str]:
    return [name for name in dict.fromkeys(name for wish, _member in found.new for name in wish.balancers) if name in world]


def _mine(pairs: Iterable[tuple[Wish, Member]], balancer: str) -> tuple[str, ...]:
    return tuple(member.id for wish, member in pairs if balancer in wish.balancers)


def _is_through(found: Sides, balancer: str, world: World) -> bool:
    """Whether the balancer serves the new ones and none of those that they replace."""
    new, old = set(_mine(found.new, balancer)), set(_mine(found.old, balancer))
    return world.step(balancer) < 0 and new <= world.serving(balancer) and not old & world.serving(balancer)


def shift(found: Sides, weight: float, world: World, restore: bool = False) -> Batch:
    """All balancers to this share of the requests, at the same time. The preview proves that each of them can; then its smoke test is asked."""
    part: dict[str, tuple[Step, ...]] = {}
    for name in _balancers(found, world):
        enter, leave = _mine(found.new, name), _mine(found.old, name)
        release = found.new[0][0].release
        pools = tuple(_missing(enter, leave, weight, name, world))
        declare = (Step("declare", name, enter, pools=pools),) if pools else ()
        smoke = (Step("smoke", name, enter, release),) if weight == 0 and world.wishes[name].smoke else ()
        part[name] = (*declare, Step("shift", name, enter, release, restore, leaving=leave, weight=weight), *smoke)
    after: Round = {}
    if weight == ALL and not restore:
        after = {wish.host: steps for wish, member in found.new for steps in [hooks_of(wish, member, "after_enable", world)] if steps}
    return Batch(found.entering, {}, {}, part, after, weight=weight)


def _missing(enter: Iterable[str], leave: Iterable[str], weight: float, balancer: str, world: World) -> Iterator[tuple[str, ...]]:
    """The pools that the balancer needs for this and for what follows, and does not have."""
    serving, wish = world.serving(balancer), world.wishes[balancer]
    behind = (serving - frozenset(leave)) | frozenset(enter)
    needed = [behind] if weight == ALL else [behind, frozenset(enter), serving - frozenset(enter)]
    stale = weight != ALL and bool(wish.mixing.weights) and world.weights(balancer) != wish.mixing.weights
    for pool in dict.fromkeys(needed):
        if stale or not world.has_pool(balancer, pool):
            yield tuple(sorted(pool))


def back(found: Sides, before: World, world: World) -> Mapping[str, tuple[Step, ...]]:
    """Every balancer that was moved, back to those who served when the run began: one rename each, all at the same time."""
    part = {}
    for name in _balancers(found, world):
        if name not in before:
            continue
        stayed = before.serving(name) - before.entering(name)
        if world.step(name) < 0 and world.serving(name) == stayed:
            continue
        enter, leave = tuple(sorted(stayed)), tuple(sorted(world.serving(name) - stayed))
        if enter:
            part[name] = (Step("shift", name, enter, _release_of(enter[0], before), True, leaving=leave),)
    return part


def _release_of(member: str, world: World) -> str:
    host, _slash, slot = member.partition("/")
    wish = world.wishes[host]
    return world.slot(wish.member(slot)).release or "" if host in world else ""


def as_it_had(wish: Wish, member: Member, before: World) -> Target:
    """Where a member that shall not take over goes: it runs what it ran beside the others, or nothing."""
    slot = before.slot(member)
    warm = slot.running and slot.current not in (None, wish.release)
    return Target(wish, member, slot.current if warm else None, (), restore=True, aside=warm)


def to_bring_up(found: Sides, world: World) -> list[Target]:
    """Those who take over and do not run the release rightly yet."""
    return [Target(wish, member, wish.release, wish.balancers, aside=True) for wish, member in found.new if not is_ready(wish, member, world)]


def to_end(found: Sides, world: World) -> list[Target]:
    """Those who were replaced and shall not go on running."""
    return [Target(wish, member, None, ()) for wish, member in found.old if wish.retire and world.slot(member).running]
