# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe, plan, apply, observe, until done: the walk of a release through the fleet. Ansible-free.

It decides nothing that the planner or a step's own guard can decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _maintenance
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from . import _planner
from ._lookout import Lookout, Watch
from ._pauses import Pauses, Terms
from ._result import Looked, Result, Returned, Turn, booked, by_host, left_alone, marks, members, message, table
from ._walk import Abandoned, Answer, Lost, Remote, Tell, Told, Walk, end
from ._way_back import FlipBack, WayBack
from ._world import World

__all__ = [
    "Abandoned",
    "Answer",
    "Lost",
    "Policy",
    "Remote",
    "Result",
    "Returned",
    "Tell",
    "Told",
    "Turn",
    "booked",
    "by_host",
    "marks",
    "members",
    "message",
    "not_in_place",
    "preview",
    "swap",
    "table",
    "take_out",
]


@dataclass(frozen=True)
class Policy:
    """How a run goes through the fleet: hosts in a batch, and what becomes of the others when a member fails (stop, host, fleet).

    ``chosen`` are the only members that it is about, in maintenance or not; by default it is about all that are not.
    ``apart``: a host does one member, and is looked at, before it does the next. ``terms``: how it waits between the
    steps of a flip.
    """

    serial: tuple[str, ...] = ("1",)
    on_failure: str = "stop"
    chosen: frozenset[str] = frozenset()
    apart: bool = False
    terms: Terms = field(default_factory=Terms)


def preview(wishes: Sequence[Wish], states: Mapping[str, HostState], policy: Policy | None = None) -> Result:
    """The plan as it stands, with nothing done: each batch's steps on the assumption that those before go well."""
    policy = policy or Policy()
    world = World(by_host(wishes), states.values(), policy.chosen)
    result = Result(states=dict(states), began=dict(states))
    result.blocked = _nobody(world)
    steps: list[Step] = []
    for decision in _planner.course(world, policy.serial, policy.apart):
        if not isinstance(decision, _planner.Batch):
            end(result, decision, world)
            break
        result.batches.append(tuple(decision.members))
        for step in decision.steps:
            steps.append(step)
            world.assume(step)
    first, rest = _planner.declared_first(steps, _shared(world))
    result.planned = [*(step for part in first.values() for step in part), *rest]
    result.changed = bool(result.planned)
    return result


def not_in_place(steps: Iterable[Step], states: Mapping[str, HostState]) -> Iterator[str]:
    """Why members are swapped that were to take the release in place."""
    for step in steps:
        if step.name == "stop" and step.host in states:
            why = states[step.host].slots[step.slot].unreloadable
            if why:
                yield f"{step.member}: swapped, not reloaded: {why}"


def _nobody(world: World) -> str:
    """Why the run is about no member at all, '' if it is about some."""
    members = [member.id for wish in world.wishes.values() for member in wish.members]
    if not members or not all(map(world.is_left_alone, members)):
        return ""
    who = ", ".join(f"{member} {_maintenance.words(world.maintenance[member])}" for member in members if member in world.maintenance)
    return f"every member of this run is left alone: {who}. hotswap.bluegreen.enable brings them back."


def _shared(world: World) -> set[str]:
    """The hosts that declare their pools before anything is touched: all but those that do all of their work in one call anyway."""
    return {wish.host for wish in world.wishes.values() if wish.others or not wish.members or wish.flips}


def swap(
    wishes: Sequence[Wish],
    remote: Remote,
    tell: Tell,
    policy: Policy | None = None,
    proceed: Callable[[], None] = lambda: None,
    watch: Watch | None = None,
) -> Result:
    """Walk the release through all members; ``proceed`` raises :class:`Abandoned` when the run must not go on.

    ``wishes`` are the hosts that run members, in the order of the walk, and their balancers. ``tell`` gets every step
    as it begins and ends. A round's steps of one host travel in one call: each step guards itself there, so a member
    that is not as it was expected ends the call, not the service. After each batch the plan is made anew from what was seen.

    The first member that fails ends the spread, and the policy says what goes back. So does a limit that ``watch`` finds
    crossed: the members that were swapped last are at fault then. A host that is lost ends it, too,
    and nothing else is touched then. :class:`Abandoned` comes out: nothing is cleaned up then, running again completes it.
    """
    policy = policy or Policy()
    walk = Walk(by_host(wishes), remote, tell, policy.chosen, proceed)
    there = walk.observe()
    tell(Looked("before", walk.result.began))
    if there:
        _Run(walk, policy, watch).forward()
    tell(Looked("after", walk.result.states))
    return walk.result


def take_out(
    wishes: Sequence[Wish], members: Sequence[str], remote: Remote, tell: Tell, proceed: Callable[[], None] = lambda: None, dry: bool = False
) -> Result:
    """Take the members out of every balancer that serves them, for maintenance; see :func:`swap` for the rest. Their processes stay as they are.

    Their own hosts may be gone. ``dry`` only tells the steps.
    """
    walk = Walk(by_host(wishes), remote, tell, frozenset(members), proceed)
    if walk.observe(needed=[wish.host for wish in wishes if wish.pool]):
        _Run(walk, Policy(chosen=frozenset(members))).take_out(members, dry)
    return walk.result


class _Run:
    def __init__(self, walk: Walk, policy: Policy, watch: Watch | None = None) -> None:
        self.walk = walk
        self.policy = policy
        self.result = walk.result
        flips = any(wish.flips for wish in walk.wishes.values())
        self.back: WayBack | FlipBack = FlipBack(walk) if flips else WayBack(walk, policy.on_failure)
        self.lookout = Lookout(walk, watch)
        self.pauses = Pauses(walk, self.lookout, policy.terms)
        self._foreseen = 0  # batches
        self._carried: _planner.Round = {}  # the last round of the batch before: it goes with the first one of the next

    def forward(self) -> None:
        """Batch after batch, until all is as wished or something fails."""
        self.result.blocked = _nobody(self.walk.world)
        if self.result.blocked:
            return
        for member in (member.id for wish in self.walk.wishes.values() for member in wish.members):
            if member in self.walk.world.maintenance and self.walk.world.is_left_alone(member):
                self.walk.tell(f"{member}: {left_alone(self.result.states, member)}")
        if self._declare():
            return
        for decision in _planner.course(self.walk.world, self.policy.serial, self.policy.apart):
            if isinstance(decision, _planner.Batch):
                if not (self.pauses.to_all and decision.is_partial):
                    self._do(decision)
            elif self._carried:  # what is assumed must come true before anybody is blamed
                self._flush((), {})
            else:
                end(self.result, decision, self.walk.world)
                return
            if not self.walk.spread:
                return
        if self._flush((), {}):
            return
        left = _planner.left(self.walk.world)
        if left is not None:
            end(self.result, _planner.Fallen(left.members[0]) if isinstance(left, _planner.Batch) else left, self.walk.world)

    def _declare(self) -> bool:
        """The pools that the whole walk needs and a balancer lacks, in one go, before anything is touched. Whether that failed."""
        foreseen = preview(list(self.walk.wishes.values()), self.result.states, self.policy)
        self._foreseen = len(foreseen.batches)
        first, _other = _planner.declared_first(foreseen.planned, _shared(self.walk.world))
        return self.walk.round(first)

    def _do(self, batch: _planner.Batch) -> None:
        if self.lookout.crossed(()):
            self.back.recover(self._concerned(()))
            return
        self.result.batches.append(tuple(batch.members))
        number = len(self.result.batches)
        self.walk.tell(Turn(tuple(batch.members), number, max(number, self._foreseen), tuple(batch.steps)))
        for text in not_in_place(batch.steps, self.result.states):
            self.walk.tell(text)
        self.result.swapped += batch.members
        if self._flush(batch.members, batch.leave):
            return
        if self.walk.round(batch.farewell) or self.walk.round(batch.work) or self.lookout.crossed(batch.members):
            self.back.recover(self._concerned(batch.members))
            return
        if batch.after or self.lookout.watches or batch.weight is not None:
            failed = self.walk.round(batch.enter) or self.walk.round(batch.after) or self.pauses.after(batch)
            if failed or (self.lookout.watches and self.lookout.look_after(batch.members)):
                self.back.recover(self._concerned(batch.members))
            return
        self._carried = batch.enter
        for steps in batch.enter.values():
            for step in steps:
                self.walk.world.assume(step)

    def _concerned(self, members: Iterable[str]) -> tuple[str, ...]:
        """The members of a batch that is broken off, behind those of earlier ones that have failed with it."""
        return tuple(dict.fromkeys((*self.back.failed(self.result.swapped), *members)))

    def _flush(self, members: Sequence[str], following: _planner.Round) -> bool:
        """Do what was carried over, and on the same hosts, in the same calls, what follows. Whether something failed."""
        carried, self._carried = self._carried, {}
        part = {host: (*carried.get(host, ()), *following.get(host, ())) for host in {**carried, **following}}
        if not self.walk.round(part) and not self.lookout.crossed(members):
            return False
        entering = (member for steps in carried.values() for step in steps for member in step.members)
        self.back.recover(self._concerned((*entering, *members)))
        return True

    def take_out(self, members: Sequence[str], dry: bool) -> None:
        """These members out of every balancer, or, when that fails on one, back on all."""
        decision = _planner.out(members, self.walk.world)
        if isinstance(decision, _planner.Blocked):
            end(self.result, decision, self.walk.world)
            return
        declared, rest = _planner.declared_first(decision.steps)
        if dry:
            self.result.planned = [*(step for part in declared.values() for step in part), *rest]
            self.result.changed = bool(decision.steps)
            for step in self.result.planned:
                self.walk.tell(step)
            return
        if self.walk.round(declared):
            return
        if self.walk.round({host: tuple(step for step in rest if step.host == host) for host in dict.fromkeys(step.host for step in rest)}):
            self.back.recover(decision.members)
