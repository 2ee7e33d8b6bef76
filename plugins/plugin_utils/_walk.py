# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of steps on hosts that work at the same time, and what a run knows of them. Ansible-free.

The hosts are known only through :class:`Remote`, and what happens is told only through ``tell``.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Refusal, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from . import _clocks, _planner
from ._result import Looked, Result, Returned, Turn, describe
from ._world import World

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a host said to a call: the events of its steps, how it looks now (None where it is not looked at), and what is not over or went wrong.

    ``found`` is what a later step there, by its name, begins with.
    """

    state: HostState | None
    events: tuple[Event, ...] = ()
    waiting: Step | None = None
    failure: Failure | None = None
    found: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class Lost(Exception):
    """The host did not answer; the text says how."""


class Abandoned(Exception):
    """The run may not go on (its controller is gone, its lock is lost); the text says why."""


class Remote(Protocol):
    """The hosts, as the runner needs them. A call raises :class:`Lost`, or :class:`Refusal` if the host cannot do its work."""

    def observe(self, wish: Wish) -> HostState:
        """How the host looks now."""

    def walk(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        """Let the host do the steps."""

    def elsewhere(self, wish: Wish, step: Step) -> Answer:
        """Let the controller or any inventory host run a command of the user's that is about a member of ``wish``."""

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """All jobs at the same time; what they returned, in order, when the last one has ended."""


Told = Event | Step | Turn | Looked | Returned | Failure | str
Tell = Callable[[Told], None]


class Walk:
    """One run's hosts: what was seen of them, what this run has done there, and the rounds that it lets them do.

    ``before`` is how the world was, ``world`` how it is, with what is carried over assumed. ``spread`` is False from the
    first failure on: nothing else is begun then. ``out`` are the pairs (balancer, member) that this run has taken out and
    that are not back yet, ``worked_on`` the members whose process or release it has changed, or tried to.
    """

    def __init__(self, wishes: Mapping[str, Wish], remote: Remote, tell: Tell, chosen: frozenset[str], proceed: Callable[[], None]) -> None:
        self.wishes = wishes
        self.remote = remote
        self.proceed = proceed
        self.result = Result()
        self.spread = True
        self.out: set[tuple[str, str]] = set()
        self.worked_on: set[str] = set()
        self._chosen = chosen
        self._tell = tell
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Mapping[str, Any]] = {}  # by host and step
        self.before = self._seen(())
        self.world = self._seen(())

    def _seen(self, states: Iterable[HostState]) -> World:
        return World(self.wishes, states, self._chosen)

    def tell(self, item: Told) -> None:
        with self._lock:
            self._tell(item)

    def observe(self, needed: Sequence[str] | None = None) -> bool:
        """Look at every host at once; whether all (that are ``needed``) answered. One that did not is lost before anything was changed."""
        self.proceed()

        def look(wish: Wish) -> HostState | str:
            try:
                return self.remote.observe(wish)
            except (Lost, Refusal) as error:
                return str(error)

        wishes = list(self.wishes.values())
        found = self.remote.together([functools.partial(look, wish) for wish in wishes])
        for wish, state in zip(wishes, found, strict=True):
            if isinstance(state, HostState):
                self.result.states[wish.host] = state
            elif needed is None or wish.host in needed:
                self.result.lost[wish.host] = state
            else:
                self.tell(f"{state} It is taken out all the same.")
        self.result.began = dict(self.result.states)
        self.before, self.world = self._seen(self.result.states.values()), self._seen(self.result.states.values())
        return not self.result.lost

    def fail(self, failure: Failure) -> None:
        """Note what no host has said itself."""
        with self._lock:
            self.result.failures.append(failure)
            self.spread = False
        self.tell(failure)

    def look_again(self, hosts: Iterable[str]) -> None:
        """See these hosts as they are now, all at the same time. One that does not answer is lost."""
        self.remote.together([functools.partial(self._look_at, self.wishes[host]) for host in hosts])

    def _look_at(self, wish: Wish) -> None:
        try:
            state = self.remote.observe(self._marked(wish))
        except (Lost, Refusal) as error:
            self._lose(wish.host, error)
            return
        with self._lock:
            self.result.states[wish.host] = state
            self.world.see(state)

    def _marked(self, wish: Wish) -> Wish:
        """The wish, with how far the host's logs were read."""
        seen = self.result.states.get(wish.host)
        return replace(wish, limits=replace(wish.limits, marks=seen.marks)) if seen and seen.marks else wish

    def round(self, part: _planner.Round, mending: bool = False) -> bool:
        """Let each host do its steps, all at the same time. Whether something failed; it has been noted then."""
        before = len(self.result.failures) + len(self.result.lost)
        if part:
            self.remote.together([functools.partial(self._walk, host, steps, mending) for host, steps in part.items()])
        for host in part:
            if host in self.result.lost:
                self.world.lose(host)
            else:
                self.world.see(self.result.states[host])
        return len(self.result.failures) + len(self.result.lost) > before

    def _walk(self, host: str, steps: Sequence[Step], mending: bool) -> None:
        """One host's steps, in as many calls as its waits need.

        When something failed elsewhere, the member that is in work here is brought to its end, and no other is begun.
        """
        wish, left, began = self.wishes[host], list(steps), time.monotonic()
        in_work = ""
        try:
            while left := left if self.spread or mending else [step for step in left if in_work and step.members == (in_work,)]:
                self.proceed()
                self.tell(left[0])
                now, later = _in_one_place(host, left)
                here = now[0].host == host
                asked = time.time()
                answer = self.remote.walk(self._marked(wish), [self._informed(step) for step in now]) if here else self.remote.elsewhere(wish, now[0])
                if answer.state:
                    ahead = _clocks.apart(asked, answer.state.time, time.time())
                    answer = replace(answer, events=_clocks.by_ours(answer.events, ahead))
                self._note(host, now, answer)
                waiting = answer.waiting
                if answer.failure or any(event.outcome == "vain" for event in answer.events):
                    return
                if not waiting:
                    in_work = now[-1].members[0] if later and later[0].members == now[-1].members else ""
                    left = later
                    continue
                number = next(number for number, step in enumerate(left) if _same(step, waiting))
                begun = waiting.elapsed > 0 or (number > 0 and left[number - 1].members == waiting.members)
                in_work = waiting.members[0] if begun and len(waiting.members) == 1 and waiting.members[0].startswith(f"{host}/") else ""
                left = [replace(waiting, out_of=()), *left[number + 1 :]]
        except (Lost, Refusal) as error:
            self._lose(host, error)
        finally:
            with self._lock:
                self.result.walks[host] = round(self.result.walks.get(host, 0.0) + time.monotonic() - began, 3)

    def _lose(self, host: str, error: Exception) -> None:
        with self._lock:
            self.result.lost[host] = str(error)
            self.result.changed = True  # it may have done some of it
            self.spread = False
        self.tell(f"{host}: {error}")

    def _informed(self, step: Step) -> Step:
        """The step with what other hosts have said, which its own host cannot see.

        Telling, stopping and starting: which balancers were seen, with their own eyes, not to serve the member. A change of what
        is served: what members on other releases answer rightly.
        """
        world, host = self.world, step.host
        if step.name in ("goodbye", "stop", "start"):
            others = self.wishes[host].others
            return replace(step, out_of=tuple(name for name in others if name in world and not world.serves(name, step.members[0])))
        if step.name == "drain" and not step.resume:
            return replace(step, resume=dict(self._found.pop((host, step.name), {})))
        if step.name == "switch":
            return replace(step, expected=world.expected(host))
        return replace(step, expected=world.expected(host, step.members)) if step.name == "enable" else step

    def _note(self, host: str, steps: Sequence[Step], answer: Answer) -> None:
        for event in answer.events:
            self.tell(event)
        members = {(step.name, step.member): step.members for step in steps}
        with self._lock:
            self.result.calls += 1
            self._found.update({(host, name): value for name, value in answer.found.items()})
            if answer.state:
                self.result.states[host] = answer.state
            kept = [event for event in answer.events if event.outcome != "waiting"]
            self.result.events += kept
            self.result.changed = self.result.changed or any(event.outcome in ("ok", "overtime") for event in kept)
            for event in answer.events:
                self._remember(host, event, members.get((event.step, event.member), ()))
            if answer.failure:
                self.result.failures.append(answer.failure)
                self.spread = False
        if answer.failure:
            self.tell(answer.failure)

    def _remember(self, host: str, event: Event, members: Sequence[str]) -> None:
        """What this run has done and may have to take back."""
        if event.step in ("stop", "point", "start"):
            self.worked_on.update(members)
        elif event.step == "switch" and event.outcome == "ok":
            self.out.update((host, member) for member in members)
        elif event.step == "enable" and event.outcome == "ok":
            self.out.difference_update((host, member) for member in members)


def _same(one: Step, other: Step) -> bool:
    return (one.members, one.name, one.hook) == (other.members, other.name, other.hook)


def _in_one_place(host: str, steps: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """What the next call does, and the rest: a command of the user's somewhere else than on ``host`` is a call of its own."""
    away = next((number for number, step in enumerate(steps) if step.host != host), len(steps))
    return list(steps[: away or 1]), list(steps[away or 1 :])


def end(result: Result, decision: _planner.Blocked | _planner.Fallen, world: World) -> None:
    """Note why the walk ends here."""
    if isinstance(decision, _planner.Blocked):
        result.blocked, result.blocked_on = decision.reason, decision.host
        return
    words = describe(result.states, decision.member, world.wishes)
    result.blocked, result.blocked_on = f"{decision.member} was swapped and is not as wished again: {words}", decision.member.partition("/")[0]
