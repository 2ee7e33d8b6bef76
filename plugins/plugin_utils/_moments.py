# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's commands at the moments of a whole release, and its migration: one after the other, on all hosts of the run or on one."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hooks
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from . import _planner
from ._result import by_host, failure_text
from ._runner import Remote, Tell
from ._world import World


@dataclass
class Ran:
    """What became of a moment's commands."""

    events: list[Event] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def booked(self) -> dict[str, str]:
        """What failed, in words, by the host that it is booked on."""
        return {failure.host: failure_text(failure) for failure in self.failures}


@dataclass(frozen=True)
class Moment:
    """One moment of a run: ``release`` is what the commands are told of, ``previous`` what it replaces, '' if there was nothing."""

    name: str
    release: str
    previous: str
    remote: Remote
    tell: Tell
    proceed: Callable[[], None]

    def run(self, wishes: Sequence[Wish]) -> Ran:
        """The moment's commands, entry after entry; an entry for the hosts runs on all of them at once. The first failure ends it."""
        ran = Ran()
        of_hosts = [[hook for hook in wish.hooks if hook.at == self.name] for wish in wishes]
        for entry in itertools.zip_longest(*of_hosts):
            pairs = [(wish, hook) for wish, hook in zip(wishes, entry, strict=True) if hook]
            ones = [pair for pair in pairs if not pair[1].on] or pairs[:1]
            self.remote.together([functools.partial(self.one, wish, hook, ran) for wish, hook in ones])
            if ran.failures:
                break
        return ran

    def one(self, wish: Wish, hook: Hook, ran: Ran) -> None:
        """One command, in as many calls as it needs."""
        step: Step | None = Step(self.name, hook.on or wish.host, (), self.release, hook=hook, previous=self.previous)
        while step:
            self.proceed()
            self.tell(step)
            answer = self.remote.elsewhere(wish, step)
            for event in answer.events:
                self.tell(event)
                if event.outcome != "waiting":
                    ran.events.append(event)
            if answer.failure:
                self.tell(answer.failure)
                ran.failures.append(answer.failure)
            step = answer.waiting


def previous(state: HostState, release: str) -> str:
    """The release before ``release`` on a host: what its first slot uses, or used before; '' if there was none."""
    slot = next(iter(state.slots.values()), None)
    if slot is None:
        return ""
    return (slot.current if slot.current != release else slot.previous) or ""


def settled(wishes: Sequence[Wish], states: Mapping[str, HostState]) -> bool:
    """Whether every member is as wished already, as the hosts were seen; ``wishes`` are those of the run, its balancers among them."""
    return _planner.left(World(by_host(wishes), states.values())) is None


def any_at(moment: str, wishes: Sequence[Wish]) -> bool:
    """Whether there is anything to run at this moment."""
    return any(hook.at == moment for wish in wishes for hook in wish.hooks)


def misplaced(wishes: Sequence[Wish], known: Mapping[str, object]) -> list[str]:
    """What is wrong with where hooks shall run, a sentence each: ``known`` are the hosts of the inventory."""
    here = {
        text
        for wish in wishes
        for text in _hooks.unusable(replace(wish, hooks=tuple(replace(hook, on="") for hook in wish.hooks if hook.on == _hooks.CONTROLLER)))
    }
    found = {f"{text} (on the controller)" for text in here} | {
        f"bluegreen_{hook.at}: on is {hook.on!r}, which is no host of the inventory; host, controller or an inventory host is expected."
        for wish in wishes
        for hook in wish.hooks
        if hook.on and hook.on != _hooks.CONTROLLER and hook.on not in known
    }
    return sorted(found)
