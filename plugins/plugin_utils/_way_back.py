# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""After a failure: who serves again, who goes back to the release it had, and what the policy says of the others."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member

from . import _flip, _planner
from ._result import Returned
from ._walk import Walk, end


class WayBack:
    """The way back of one run. Never more than once: a rollback is not rolled back."""

    def __init__(self, walk: Walk, on_failure: str) -> None:
        """``on_failure``: what becomes of the members beside the failed one (stop, host, fleet)."""
        self._walk = walk
        self._on_failure = on_failure

    def recover(self, members: Sequence[str]) -> None:
        """The batch at its end: who is healthy on the new release serves, who was not worked on serves again, who failed goes back.

        What the policy says comes after that.
        """
        for member in members:
            if self._can_be_asked(member) and member not in self.failed(members):
                self._complete(member)
        failed = self.failed(members)
        back = [self._back(member, failed=True) for member in failed if self._can_be_asked(member)]
        if self._on_failure == "stop" or not back or not all(back) or self._walk.result.lost or self._walk.result.blocked:
            return
        hosts = {member.partition("/")[0] for member in failed}
        for member in reversed(self._walk.result.swapped):
            mine = member not in failed and (self._on_failure == "fleet" or member.partition("/")[0] in hosts)
            if mine and not self._back(member):
                return

    def failed(self, members: Sequence[str]) -> list[str]:
        """Those of the members that have failed."""
        failed = {failure.member for failure in self._walk.result.failures}
        return [member for member in members if member in failed]

    def _can_be_asked(self, member: str) -> bool:
        return member.partition("/")[0] in self._walk.world

    def _of(self, member: str) -> tuple[Wish, Member]:
        host, _slash, slot = member.partition("/")
        return self._walk.wishes[host], self._walk.wishes[host].member(slot)

    def _as_it_is(self, member: str) -> _planner.Target | None:
        """The member with the process it has, where this run took it out; None if this run has worked on it, or it is not right."""
        wish, found = self._of(member)
        onto = tuple(name for name in wish.balancers if (name, member) in self._walk.out)
        return None if member in self._walk.worked_on else _planner.as_it_is(wish, found, self._walk.world, onto)

    def _complete(self, member: str) -> None:
        """Let a member of a broken-off batch serve that this run has not worked on yet, or that is right."""
        wish, found = self._of(member)
        target = self._as_it_is(member)
        if target is None and _planner.runs_as_wished(wish, self._walk.world.slot(found)) and self._walk.world.answers(member):
            target = _planner.Target(wish, found, wish.release, wish.balancers)
        if target:
            self._put(_planner.put(target, self._walk.world))

    def _back(self, member: str, failed: bool = False) -> bool:
        """Bring a member back to the release it had; whether that went well. Only one that failed is left with none."""
        wish, found = self._of(member)
        had = _planner.as_it_had(wish, found, self._walk.before)
        if not failed and (member not in self._walk.worked_on or had.release is None or _planner.was_swapped_before(wish, self._walk.before.slot(found))):
            return True
        target = self._as_it_is(member) or had
        rounds = _planner.put(target, self._walk.world)
        if isinstance(rounds, _planner.Batch) and not rounds.rounds:
            return True
        words = f"release {target.release}" if target.release else "no release (it had none)"
        self._walk.tell(f"{member}: {'failed, ' if failed else ''}going back to {words}")
        if not self._put(rounds):
            return False
        self._walk.result.returned.append(member)
        self._walk.tell(Returned(member))
        return True

    def _put(self, decision: _planner.Batch | _planner.Blocked) -> bool:
        """Do the rounds of one member; whether it is through."""
        if isinstance(decision, _planner.Blocked):
            end(self._walk.result, decision, self._walk.world)
            return False
        return not any(self._walk.round(part, mending=True) for part in decision.rounds)


class FlipBack:
    """The way back where one slot of each host takes over: all balancers in one switch, then the slots that shall not take over."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def failed(self, members: Sequence[str]) -> list[str]:
        """Those of the members that have failed."""
        failed = {failure.member for failure in self._walk.result.failures}
        return [member for member in members if member in failed]

    def recover(self, members: Sequence[str]) -> None:
        """Whoever served when the run began serves again; whoever should have taken over runs what it ran before, or nothing.

        A slot that a lost balancer may still serve is left as it is. When only the old ones were still to be ended, nothing
        goes back: nothing is wrong with those who took over.
        """
        walk = self._walk
        found = _flip.sides(walk.before)
        if members and set(members) <= set(found.leaving):
            return
        began = time.monotonic()
        part = _flip.back(found, walk.before, walk.world)
        if part:
            walk.tell("all requests go back to those who served before")
            if walk.round(part, mending=True):
                return
            walk.tell(f"back on {', '.join(part)} in {time.monotonic() - began:.2f} s")
        aside = [(wish, member) for wish, member in found.new if member.id in walk.worked_on and self._can_be_touched(wish)]
        batch = _planner.make([_flip.as_it_had(wish, member, walk.before) for wish, member in aside], walk.world)
        if any(walk.round(steps, mending=True) for steps in batch.rounds):
            return
        for _wish, member in aside:
            walk.result.returned.append(member.id)
            walk.tell(Returned(member.id))

    def _can_be_touched(self, wish: Wish) -> bool:
        return wish.host in self._walk.world and all(name in self._walk.world for name in wish.balancers)
