# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that bring some members where they shall be, in rounds. Pure functions of what is known.

Out of the balancers that are other hosts; the work on the members' own hosts, whose own nginx, where there is one,
leaves and comes back in the same call; back into the other balancers; and, on the members' own hosts, the user's
commands after that. An application that says goodbye to its clients is told so between the first two, when all
balancers are away, and these wait for their connections to end.
A round's hosts work at the same time, and the next round begins when all of them are through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import SlotState

from ._world import World

Round = Mapping[str, tuple[Step, ...]]  # by host

_STOPPED = frozenset({"STOPPED", "EXITED", "FATAL", "ABSENT", "UNKNOWN"})


@dataclass(frozen=True)
class Target:
    """Where one member shall be; ``release`` None means stopped and out.

    ``restore``: with the start it had. ``keep``: its process is left alone and only comes back. ``onto`` are the balancers
    that shall serve it. ``aside``: it runs beside those who serve, until all balancers move to it together.
    """

    wish: Wish
    member: Member
    release: str | None
    onto: tuple[str, ...]
    restore: bool = False
    keep: bool = False
    aside: bool = False


@dataclass(frozen=True)
class Batch:
    """The rounds that bring these members where they shall be.

    ``farewell`` has the goodbye to their clients, before the work on them, and ``after`` what their own hosts do when
    all balancers serve them. ``weight`` is the percentage of requests that they have at its end, where that is what the
    batch is about.
    """

    members: tuple[str, ...]
    leave: Round
    work: Round
    enter: Round
    after: Round = field(default_factory=dict)
    farewell: Round = field(default_factory=dict)
    weight: float | None = None

    @property
    def is_partial(self) -> bool:
        """Whether it gives some of the requests to its members, and the others keep the rest."""
        return self.weight is not None and 0 < self.weight < 100

    @property
    def rounds(self) -> tuple[Round, ...]:
        return tuple(part for part in (self.leave, self.farewell, self.work, self.enter, self.after) if part)

    @property
    def ways(self) -> frozenset[tuple[str, bool]]:
        """The members, and of each whether it takes the release in place."""
        in_place = {step.members[0] for step in self.steps if step.name == "reload"}
        return frozenset((member, member in in_place) for member in self.members)

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for part in self.rounds for steps in part.values() for step in steps)


def make(targets: Sequence[Target], world: World) -> Batch:
    """The rounds for these members, all of them at the same time."""
    there = _by_balancer(targets, world)
    leave = {name: _leave(name, mine, world) for name, mine in there.items()}
    enter = {name: _enter(name, mine, world) for name, mine in there.items()}
    farewell = {name: _drain(name, [target for target in mine if _is_told(target, world)], world) for name, mine in there.items()}
    work = {}
    for target in targets:
        host, first, then = target.wish.host, _away_at_home(target, world), _at_home(target, world)
        apart = _is_told(target, world) and bool(target.wish.others)
        farewell[host], work[host] = (first, then) if apart else ((), (*first, *then))
    after = {
        target.wish.host: tuple(_hooks(target, "after_enable", world))
        for target in targets
        if target.wish.others and _returns(target, world) and not target.aside
    }
    return Batch(tuple(target.member.id for target in targets), _kept(leave), _kept(work), _kept(enter), _kept(after), _kept(farewell))


def _by_balancer(targets: Iterable[Target], world: World) -> dict[str, list[Target]]:
    """Which other hosts that can be reached balance which of the members."""
    found: dict[str, list[Target]] = {}
    for target in targets:
        for name in target.wish.others:
            if name in world:
                found.setdefault(name, []).append(target)
    return found


def _kept(part: Round) -> Round:
    return {host: steps for host, steps in part.items() if steps}


def leaves(target: Target, balancer: str, world: World) -> bool:
    """Whether the balancer serves the member now and must not while it is worked on."""
    return world.serves(balancer, target.member.id) and not _is_right(target, world) and not reloads(target, world)


def comes(target: Target, balancer: str, world: World) -> bool:
    """Whether the balancer must be told, at the end, to serve the member."""
    wanted = target.release is not None and balancer in target.onto and not target.aside
    return wanted and (leaves(target, balancer, world) or not world.serves(balancer, target.member.id))


def stays(target: Target, world: World) -> bool:
    """Whether the process is the right one already and only its checks, or a balancer, are missing."""
    slot, wish = world.slot(target.member), target.wish
    if target.keep or target.restore:
        return target.keep
    promising = slot.healthy or slot.uptime <= wish.boot_timeout
    return promising and (runs_as_wished(wish, slot) or boots_as_wished(wish, slot))


def reloads(target: Target, world: World) -> bool:
    """Whether its process takes the release in place, and the member goes on serving. One that is put back is swapped: it is out at once."""
    slot, wish = world.slot(target.member), target.wish
    able = wish.strategy == "reload" and slot.running and slot.healthy and slot.listener == "own" and not slot.unreloadable
    return able and not (target.restore or target.keep) and target.release is not None and slot.release not in (None, target.release)


def _is_right(target: Target, world: World) -> bool:
    return stays(target, world) and world.slot(target.member).healthy


def runs_as_wished(wish: Wish, slot: SlotState) -> bool:
    """Whether the running process is the wished release, started as wished, on its own port."""
    return slot.running and slot.release == slot.current == wish.release and not slot.pending and slot.listener == "own"


def boots_as_wished(wish: Wish, slot: SlotState) -> bool:
    """Whether it was started by a run that was cut off, and does not listen yet."""
    return slot.running and slot.release == slot.current == wish.release and not slot.pending and slot.listener == "none"


def _leave(name: str, mine: Sequence[Target], world: World) -> tuple[Step, ...]:
    """The balancer away from those that will be stopped or checked, and their connections ended, but for members that are told first.

    What it lacks of pools, for leaving and for coming back, is declared first.
    """
    away = tuple(target.member.id for target in mine if leaves(target, name, world))
    new = tuple(target.member.id for target in mine if comes(target, name, world) and not world.serves(name, target.member.id))
    pools = tuple(world.undeclared(name, (away, new)))
    steps = [Step("declare", name, (*away, *new), pools=pools)] if pools else []
    if away:
        steps.append(Step("switch", name, away))
    return (*steps, *_drain(name, [target for target in mine if not _is_told(target, world)], world))


def _drain(name: str, mine: Sequence[Target], world: World) -> tuple[Step, ...]:
    """The balancer waits until those that will be stopped have no connection of its own."""
    busy = [target for target in mine if _ends(target, world)]
    seconds = max((max(target.wish.drain_timeout, target.wish.goodbye.timeout) for target in busy if _is_told(target, world)), default=0.0)
    return (Step("drain", name, tuple(target.member.id for target in busy), seconds=seconds),) if busy else ()


def _ends(target: Target, world: World) -> bool:
    """Whether the member has a process that will be stopped."""
    return world.slot(target.member).running and not stays(target, world) and not reloads(target, world)


def _is_told(target: Target, world: World) -> bool:
    """Whether its application is told before that, so that clients can leave."""
    return target.wish.goodbye.is_said and _ends(target, world)


def _away_at_home(target: Target, world: World) -> tuple[Step, ...]:
    """The member's own nginx away, where it has one, and its application told when all balancers are."""
    host = target.wish.host
    told = [target] if _is_told(target, world) else []
    goodbye = tuple(Step("goodbye", host, (target.member.id,)) for target in told)
    return (*_leave(host, [target], world), *goodbye, *_drain(host, told, world)) if host in target.wish.balancers else goodbye


def _enter(name: str, mine: Sequence[Target], world: World) -> tuple[Step, ...]:
    """The balancer back to those that come."""
    back = [target for target in mine if comes(target, name, world)]
    if not back:
        return ()
    return (Step("enable", name, tuple(target.member.id for target in back), back[0].release or "", back[0].restore),)


def _at_home(target: Target, world: World) -> tuple[Step, ...]:
    """All that the member's own host does for it from the stop on."""
    host = target.wish.host
    if host not in target.wish.balancers:
        return tuple(_work(target, world))
    entered = _enter(host, [target], world)
    after = tuple(_hooks(target, "after_enable", world)) if entered and not target.wish.others else ()
    return (*_work(target, world), *entered, *after)


def _work(target: Target, world: World) -> Iterator[Step]:
    slot, host, ids = world.slot(target.member), target.wish.host, (target.member.id,)
    release = target.release or ""
    if reloads(target, world):
        yield Step("point", host, ids, release)
        yield Step("reload", host, ids, release)
    elif not stays(target, world):
        if slot.running and not target.restore:  # what failed is not asked
            yield from _hooks(target, "before_stop", world)
        if slot.running or slot.state not in _STOPPED:
            yield Step("stop", host, ids, release, target.restore)
        if target.release is not None:
            yield Step("point", host, ids, release, target.restore)
            yield Step("start", host, ids, release, target.restore)
    if target.release is not None:
        yield Step("check", host, ids, release, target.restore)
        if _returns(target, world):
            yield from _hooks(target, "after_start", world)


def _returns(target: Target, world: World) -> bool:
    """Whether a balancer will be told to serve the member: whoever left something before the stop comes back to it."""
    return (target.aside and not target.restore) or any(comes(target, name, world) for name in target.wish.balancers if name in world)


def hooks_of(wish: Wish, member: Member, moment: str, world: World) -> tuple[Step, ...]:
    """The user's commands at this moment of a member that runs the wished release."""
    return tuple(_hooks(Target(wish, member, wish.release, ()), moment, world))


def _hooks(target: Target, moment: str, world: World) -> Iterator[Step]:
    """The user's commands at this moment. On the way back they cannot fail: a member out of the balancers is worse than a hook that did not run."""
    slot, release = world.slot(target.member), target.release or ""
    previous = slot.current if slot.current != release else slot.previous
    for hook in target.wish.hooks:
        if hook.at == moment:
            wanted = replace(hook, on_failure="warn") if target.restore else hook
            yield Step(moment, hook.on or target.wish.host, (target.member.id,), release, target.restore, hook=wanted, previous=previous or "")
