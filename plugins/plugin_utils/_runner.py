# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe, plan, apply, observe, until done: the walk of a release through the fleet. Ansible-free.

The runner knows hosts only through :class:`Remote` and tells what happens only through ``tell``; it decides nothing
that the planner or a step's own guard can decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, HostState, Step, Wish

from . import _planner


@dataclass(frozen=True)
class Answer:
    """What a host said to a call: the events of its steps, how it looks now, and what is not over or went wrong."""

    state: HostState
    events: tuple[Event, ...] = ()
    waiting: Step | None = None
    failure: Failure | None = None


class Lost(Exception):
    """The host did not answer; the text says how."""


class Abandoned(Exception):
    """The run may not go on (its controller is gone, its lock is lost); the text says why."""


class Remote(Protocol):
    """The hosts, as the runner needs them. Both raise :class:`Lost`."""

    def observe(self, wishes: Sequence[Wish]) -> dict[str, HostState]:
        """How each host looks now, all asked at once."""

    def walk(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        """Let the host do the steps."""


@dataclass
class Result:
    """What became of the run. ``states`` is the last that was seen of each host."""

    changed: bool = False
    events: list[Event] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    blocked: str = ""
    states: dict[str, HostState] = field(default_factory=dict)
    planned: list[Step] = field(default_factory=list)
    walks: dict[str, float] = field(default_factory=dict)  # seconds by host, as the controller waited for it

    @property
    def reloads(self) -> int:
        return sum(event.step == "declare" and event.outcome == "ok" for event in self.events)

    @property
    def ok(self) -> bool:
        return not self.failures and not self.blocked


Tell = Callable[[Event | Step | str], None]


def ahead(wishes: Sequence[Wish], states: Mapping[str, HostState], host: str = "") -> Iterator[_planner.Decision]:
    """The plan as far as it reaches if all goes well: decision after decision, on ``host`` alone if one is given."""
    world = dict(states)
    seen: set[str] = set()
    while True:
        decision = _planner.plan(wishes, world)
        if isinstance(decision, _planner.Walk) and (decision.member in seen or not decision.member.startswith(f"{host}/" if host else "")):
            return
        yield decision
        if not isinstance(decision, _planner.Walk):
            return
        seen.add(decision.member)
        for step in decision.steps:
            world[step.host] = _planner.assume(world[step.host], step)


def preview(wishes: Sequence[Wish], states: Mapping[str, HostState]) -> Result:
    """The plan as it stands, with nothing done: each member's steps on the assumption that those before go well."""
    result = Result(states=dict(states))
    for decision in ahead(wishes, states):
        if isinstance(decision, _planner.Blocked):
            result.blocked = decision.reason
        if isinstance(decision, _planner.Walk):
            result.planned += decision.steps
    result.changed = bool(result.planned)
    return result


def swap(
    wishes: Sequence[Wish],
    remote: Remote,
    tell: Tell,
    proceed: Callable[[], None] = lambda: None,
    detail: Callable[[str], None] = lambda _text: None,
) -> Result:
    """Walk the release through all members; ``proceed`` raises :class:`Abandoned` when the run must not go on.

    ``tell`` gets every step as it begins and ends, ``detail`` what only a person looking for something wants to know.
    The members of one host travel in one call: each step guards itself there, so a member that is not as it was
    expected ends the call, not the service. After each call the plan is made anew from what was seen.

    The first member that fails is put back to what it had and ends the spread. :class:`Lost` and :class:`Abandoned`
    come out: nothing is cleaned up then, running again completes it.
    """
    result = Result()
    run = _Run({wish.host: wish for wish in wishes}, remote, tell, proceed, result)
    proceed()
    result.states.update(remote.observe(wishes))
    for line in table(result.states):
        detail(f"at the beginning: {line}")
    began = dict(result.states)
    walked: set[str] = set()
    while True:
        decision = _planner.plan(wishes, result.states)
        if isinstance(decision, _planner.Done):
            return result
        if isinstance(decision, _planner.Walk) and decision.member in walked:
            decision = _planner.Blocked(f"{decision.member} was swapped and is not as wished again: {run.words(decision.member)}")
        if isinstance(decision, _planner.Blocked):
            result.blocked = decision.reason
            return result
        host = decision.member.split("/")[0]
        walks = [walk for walk in ahead(wishes, result.states, host) if isinstance(walk, _planner.Walk) and walk.member not in walked]
        for walk in walks:
            detail(f"{walk.member}: {', '.join(step.name for step in walk.steps)}")
        started = time.monotonic()
        failed = run.walk(step for walk in walks for step in walk.steps)
        result.walks[host] = round(result.walks.get(host, 0.0) + time.monotonic() - started, 3)
        walked.update(walk.member for walk in walks)
        if failed:
            run.put_back(failed, began)
            return result
        for walk in walks:
            detail(f"{walk.member}: {run.words(walk.member)}")


@dataclass
class _Run:
    wishes: Mapping[str, Wish]
    remote: Remote
    tell: Tell
    proceed: Callable[[], None]
    result: Result

    def walk(self, steps: Iterable[Step]) -> str:
        """Do one host's steps, in as many calls as its waits need. The member that failed, or ''."""
        left = list(steps)
        while left:
            self.proceed()
            self.tell(left[0])
            wish = self.wishes[left[0].host]
            answer = self.remote.walk(wish, left)
            self.result.states[wish.host] = answer.state
            for event in answer.events:
                self._note(event)
            if answer.failure:
                self.result.failures.append(answer.failure)
                return answer.failure.member
            if not answer.waiting:
                break
            waiting = answer.waiting
            done = next(number for number, step in enumerate(left) if (step.member, step.name) == (waiting.member, waiting.name))
            left = [waiting, *left[done + 1 :]]
        return ""

    def _note(self, event: Event) -> None:
        self.tell(event)
        if event.outcome != "waiting":
            self.result.events.append(event)
            self.result.changed = self.result.changed or event.outcome in ("ok", "overtime")

    def put_back(self, member: str, began: Mapping[str, HostState]) -> None:
        """Bring a failed member back to the release it had. Never more than once: a rollback is not rolled back."""
        host, slot = member.split("/")
        wish, state = self.wishes[host], self.result.states[host]
        had = _planner.had_release(wish, began[host].slots[slot])
        steps = _planner.put_back(wish, wish.member(slot), state, had)
        if steps:
            self.tell(f"{member}: failed, going back to {f'release {had}' if had else 'no release (it had none)'}")
            self.walk(steps)

    def words(self, member: str) -> str:
        host, slot = member.split("/")
        return describe(self.result.states[host], slot)


def describe(state: HostState, slot: str) -> str:
    """One member now, in words."""
    seen = state.slots[slot]
    parts = [
        f"release {seen.release}" if seen.release else "no release running",
        f"supervisor says {seen.state}",
        "healthy" if seen.healthy else f"not healthy ({seen.seen})",
        "serving" if f"{state.host}/{slot}" in state.balancer.serving else "out of the balancer",
    ]
    return ", ".join(parts)


def table(states: Mapping[str, HostState]) -> list[str]:
    """Every member now, a line each."""
    return [f"{host}/{slot}: {describe(state, slot)}" for host, state in states.items() for slot in state.slots]


def failure_text(failure: Failure) -> str:
    """A failure for the person on call: what, where, expected, seen, the program's last words."""
    lines = [f"{failure.member} failed at {failure.step}: expected: {failure.expected}; seen: {failure.seen}"]
    if failure.log:
        lines += ["its last log lines:", *(f"  {line}" for line in failure.log)]
    return "\n".join(lines)


def message(result: Result, service: str, release: str) -> str:
    """The whole message of a run that did not reach its end, with what to do next."""
    lines = [f"Release {release} of {service} was not completed."]
    lines += [failure_text(failure) for failure in result.failures]
    if result.blocked:
        lines.append(result.blocked)
    if result.failures:
        lines.append(_aftermath(result))
    lines += ["members now:", *(f"  {line}" for line in table(result.states))]
    lines.append("Mend the cause, then run the same command again: it goes on where this run ended.")
    return "\n".join(lines)


def _aftermath(result: Result) -> str:
    member = result.failures[0].member
    host, slot = member.split("/")
    seen = result.states[host].slots[slot]
    serving = member in result.states[host].balancer.serving
    if len(result.failures) > 1:
        return f"{member} could not be put back either and stays out of the balancer; the others were not touched."
    if serving and seen.release:
        return f"{member} is back on release {seen.release} and serves; the others were not touched."
    return f"{member} has no release to go back to and stays out of the balancer; the others were not touched."
