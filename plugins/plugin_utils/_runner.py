# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe, plan, apply, observe, until done: the walk of a release through the fleet. Ansible-free.

The runner knows hosts only through :class:`Remote` and tells what happens only through ``tell``; it decides nothing
that the planner or a step's own guard can decide.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, HostState, Refusal, Step, Wish

from . import _planner

T = TypeVar("T")


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
    """The hosts, as the runner needs them. A call raises :class:`Lost`, or :class:`Refusal` if the host cannot do its work."""

    def observe(self, wish: Wish) -> HostState:
        """How the host looks now."""

    def walk(self, wish: Wish, steps: Sequence[Step]) -> Answer:
        """Let the host do the steps."""

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """All jobs at the same time; what they returned, in order, when the last one has ended."""


@dataclass(frozen=True)
class Policy:
    """How a run goes through the fleet: hosts in a batch, and what becomes of the others when a member fails (stop, host, fleet)."""

    serial: tuple[str, ...] = ("1",)
    on_failure: str = "stop"


@dataclass
class Result:
    """What became of the run. ``states`` is the last that was seen of each host, ``lost`` says which do not answer, and why."""

    changed: bool = False
    events: list[Event] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    blocked: str = ""
    blocked_on: str = ""
    lost: dict[str, str] = field(default_factory=dict)
    states: dict[str, HostState] = field(default_factory=dict)
    began: dict[str, HostState] = field(default_factory=dict)
    swapped: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    planned: list[Step] = field(default_factory=list)
    calls: int = 0
    walks: dict[str, float] = field(default_factory=dict)  # seconds by host, as the controller waited for it

    @property
    def reloads(self) -> int:
        return sum(event.step == "declare" and event.outcome == "ok" for event in self.events)

    @property
    def ok(self) -> bool:
        return not self.failures and not self.blocked and not self.lost


Tell = Callable[[Event | Step | str], None]


def by_host(wishes: Sequence[Wish]) -> dict[str, Wish]:
    return {wish.host: wish for wish in wishes}


def preview(wishes: Sequence[Wish], states: Mapping[str, HostState], policy: Policy | None = None) -> Result:
    """The plan as it stands, with nothing done: each batch's steps on the assumption that those before go well."""
    known, world = by_host(wishes), dict(states)
    result = Result(states=dict(states), began=dict(states))
    plan = _Batches(known, world, policy or Policy())
    for steps in _planner.missing_pools(known, world, plan.batches).values():
        result.planned += steps
        for step in steps:
            world[step.host] = _planner.assume(world[step.host], step)
    seen: set[str] = set()
    for hosts in plan.batches:
        while True:
            decision = _planner.plan(known, world, hosts)
            if isinstance(decision, _planner.Blocked):
                result.blocked, result.blocked_on = decision.reason, decision.host
            if not isinstance(decision, _planner.Batch) or seen & set(decision.members):
                break
            seen.update(decision.members)
            for step in decision.steps:
                result.planned.append(step)
                world[step.host] = _planner.assume(world[step.host], step)
        if result.blocked:
            break
    result.changed = bool(result.planned)
    return result


class _Batches:
    """The hosts with something to do, in the batches that the policy makes of them."""

    def __init__(self, wishes: Mapping[str, Wish], world: Mapping[str, HostState], policy: Policy) -> None:
        left = _planner.queue(wishes, world)
        width = _planner.widths(policy.serial, sum(bool(wish.members) for wish in wishes.values()))
        self.batches: list[list[str]] = []
        while left:
            count = next(width)
            self.batches.append(left[:count])
            left = left[count:]


def swap(
    wishes: Sequence[Wish],
    remote: Remote,
    tell: Tell,
    policy: Policy | None = None,
    proceed: Callable[[], None] = lambda: None,
    detail: Callable[[str], None] = lambda _text: None,
) -> Result:
    """Walk the release through all members; ``proceed`` raises :class:`Abandoned` when the run must not go on.

    ``wishes`` are the hosts that run members, in the order of the walk, and their balancers. ``tell`` gets every step
    as it begins and ends, ``detail`` what only a person looking for something wants to know. A round's steps of one
    host travel in one call: each step guards itself there, so a member that is not as it was expected ends the call,
    not the service. After each batch the plan is made anew from what was seen.

    The first member that fails ends the spread, and the policy says what goes back. A host that is lost ends it, too,
    and nothing else is touched then. :class:`Abandoned` comes out: nothing is cleaned up then, running again completes it.
    """
    run = _Run(by_host(wishes), remote, tell, policy or Policy(), proceed, detail)
    run.observe()
    if not run.result.lost:
        run.forward()
    return run.result


class _Run:
    def __init__(
        self, wishes: Mapping[str, Wish], remote: Remote, tell: Tell, policy: Policy, proceed: Callable[[], None], detail: Callable[[str], None]
    ) -> None:
        self.wishes = wishes
        self.remote = remote
        self.policy = policy
        self.proceed = proceed
        self.detail = detail
        self.result = Result()
        self._tell = tell
        self._lock = threading.Lock()
        self._spread = True  # False from the first failure on: who has not begun its next member does not
        self._carry: dict[str, tuple[Step, ...]] = {}  # the last round of the batch before: it goes with the first of the next

    @property
    def world(self) -> dict[str, HostState]:
        """The hosts that answer, as they were last seen."""
        return {host: state for host, state in self.result.states.items() if host not in self.result.lost}

    def tell(self, item: Event | Step | str) -> None:
        with self._lock:
            self._tell(item)

    def observe(self) -> None:
        """Look at every host at once. One that cannot be reached is lost before anything was changed."""
        self.proceed()

        def look(wish: Wish) -> HostState | str:
            try:
                return self.remote.observe(wish)
            except (Lost, Refusal) as error:
                return str(error)

        wishes = list(self.wishes.values())
        found = self.remote.together([lambda wish=wish: look(wish) for wish in wishes])  # type: ignore[misc]
        for wish, state in zip(wishes, found, strict=True):
            if isinstance(state, HostState):
                self.result.states[wish.host] = state
            else:
                self.result.lost[wish.host] = state
        self.result.began = dict(self.result.states)
        for line in table(self.result.states, self.wishes):
            self.detail(f"at the beginning: {line}")

    def forward(self) -> None:
        """The batches, one after the other, until all is as wished or something fails."""
        batches = _Batches(self.wishes, self.world, self.policy).batches
        self.round(_planner.missing_pools(self.wishes, self.world, batches))
        walked: set[str] = set()
        for hosts in batches:
            if not self._batch(hosts, walked):
                return
        self._flush(())
        if self._spread:
            decision = _planner.plan(self.wishes, self.world)
            if isinstance(decision, _planner.Batch):
                fallen = decision.members[0]
                self._block(f"{fallen} is not as wished again: {self.words(fallen)}", fallen.partition("/")[0])
            elif isinstance(decision, _planner.Blocked):
                self._block(decision.reason, decision.host)

    def _batch(self, hosts: Sequence[str], walked: set[str]) -> bool:
        """Bring these hosts where they shall be; whether the spread goes on."""
        while self._spread:
            decision = _planner.plan(self.wishes, self._assumed(), hosts)
            if isinstance(decision, _planner.Done):
                break
            if self._carry and (isinstance(decision, _planner.Blocked) or walked & set(decision.members)):
                self._flush(())  # what is assumed must come true before anybody is blamed
                continue
            if isinstance(decision, _planner.Blocked):
                self._block(decision.reason, decision.host)
                return False
            again = walked & set(decision.members)
            if again:
                fallen = sorted(again)[0]
                self._block(f"{fallen} was swapped and is not as wished again: {self.words(fallen)}", fallen.partition("/")[0])
                return False
            walked.update(decision.members)
            self._do(decision)
        return self._spread

    def _block(self, reason: str, host: str) -> None:
        self.result.blocked, self.result.blocked_on = reason, host

    def _assumed(self) -> dict[str, HostState]:
        """The world as it will be when the carried steps are done."""
        world = self.world
        for host, steps in self._carry.items():
            for step in steps:
                if host in world:
                    world[host] = _planner.assume(world[host], step)
        return world

    def _do(self, batch: _planner.Batch) -> None:
        for step in batch.steps:
            self.detail(f"{step.member} on {step.host}: {step.name}")
        *rounds, last = batch.rounds
        self.result.swapped += batch.members
        if not rounds:
            self._flush(batch.members, last)
            return
        if self._flush(batch.members, rounds[0]):
            return
        for part in rounds[1:]:
            if self.round(part):
                self.recover(batch.members)
                return
        self._carry = dict(last)
        if last and not all(step.name == "enable" for steps in last.values() for step in steps):
            self._flush(batch.members)

    def _flush(self, members: Sequence[str], following: _planner.Round | None = None) -> bool:
        """Do what was carried over, and on the same hosts, in the same calls, what follows. Whether something failed."""
        carried = tuple(member for steps in self._carry.values() for step in steps for member in step.members)
        following = following or {}
        hosts = [*self._carry, *(host for host in following if host not in self._carry)]
        part = {host: (*self._carry.get(host, ()), *following.get(host, ())) for host in hosts}
        self._carry = {}
        failed = self.round(part)
        if failed:
            self.recover(tuple(dict.fromkeys((*carried, *members))))
        return failed

    def round(self, part: _planner.Round) -> bool:
        """Let each host do its steps, all at the same time. Whether something failed; it has been noted then."""
        if not part:
            return False
        before = len(self.result.failures) + len(self.result.lost)
        self.remote.together([lambda host=host, steps=steps: self._walk(host, steps) for host, steps in part.items()])  # type: ignore[misc]
        return len(self.result.failures) + len(self.result.lost) > before

    def _walk(self, host: str, steps: Sequence[Step]) -> None:
        """One host's steps, in as many calls as its waits need."""
        wish, left, began = self.wishes[host], list(steps), time.monotonic()
        try:
            while left:
                self.proceed()
                if not self._spread and left[0].elapsed == 0:
                    left = self._begun(left)
                self.tell(left[0])
                answer = self.remote.walk(wish, [self._proven(step) for step in left])
                self._note(host, answer)
                if answer.failure or not answer.waiting:
                    return
                waiting = answer.waiting
                done = next(number for number, step in enumerate(left) if (step.members, step.name) == (waiting.members, waiting.name))
                left = [replace(waiting, out_of=()), *left[done + 1 :]]
                if not self._spread:
                    left = self._begun(left)
        except (Lost, Refusal) as error:
            with self._lock:
                self.result.lost[host] = str(error)
                self._spread = False
            self.tell(f"{host}: {error}")
        finally:
            with self._lock:
                self.result.walks[host] = round(self.result.walks.get(host, 0.0) + time.monotonic() - began, 3)

    def _begun(self, left: Sequence[Step]) -> list[Step]:
        """After a failure elsewhere: the member in work is brought to its end, the next one is not begun."""
        return [step for step in left if step.members == left[0].members]

    def _proven(self, step: Step) -> Step:
        """The step with those other balancers of its member that were seen, with their own eyes, not to serve it."""
        if step.name not in ("stop", "start"):
            return step
        states, wish = self.result.states, self.wishes[step.host]
        return replace(step, out_of=tuple(name for name in wish.others if name in states and not states[name].serves(step.members[0])))

    def _note(self, host: str, answer: Answer) -> None:
        for event in answer.events:
            self.tell(event)
        with self._lock:
            self.result.calls += 1
            self.result.states[host] = answer.state
            kept = [event for event in answer.events if event.outcome != "waiting"]
            self.result.events += kept
            self.result.changed = self.result.changed or any(event.outcome in ("ok", "overtime") for event in kept)
            if answer.failure:
                self.result.failures.append(answer.failure)
                self._spread = False

    # After a failure.

    def recover(self, members: Sequence[str]) -> None:
        """The batch at its end: who is healthy on the new release serves, who was not touched yet serves again, who failed goes back.

        What the policy says comes after that. Never more than once: a rollback is not rolled back.
        """
        self._spread = False
        failed = [failure.member for failure in self.result.failures if failure.member in members]
        reachable = [member for member in members if member.partition("/")[0] in self.world]
        for member in reachable:
            if member not in failed:
                self._complete(member)
        stuck = [member for member in failed if member in reachable and not self._back(member, failed=True)]
        if self.policy.on_failure == "stop" or not failed or stuck or self.result.lost:
            return
        hosts = {member.partition("/")[0] for member in failed}
        for member in reversed(self.result.swapped):
            host = member.partition("/")[0]
            mine = member not in failed and host in self.world and (self.policy.on_failure == "fleet" or host in hosts)
            if mine and not self._back(member):
                return

    def _complete(self, member: str) -> None:
        """Enable a member of a broken-off batch that is right, or that nobody touched yet."""
        host, _, slot = member.partition("/")
        wish, now = self.wishes[host], self.result.states[host].slots[slot]
        if _planner.runs_as_wished(wish, now) and now.healthy:
            target = _planner.Target(wish, wish.member(slot), wish.release)
        else:
            target = self._had(member)
            untouched = now.running and now.release == now.current == target.release and now.healthy
            if not untouched:
                return
        self._rounds(_planner.put_back(target, self.wishes, self.world))

    def _had(self, member: str) -> _planner.Target:
        host, _, slot = member.partition("/")
        wish, before = self.wishes[host], self.result.began[host].slots[slot]
        expected = before.expected if before.release == before.current else {}
        return _planner.Target(wish, wish.member(slot), _planner.had_release(wish, before), restore=True, expected=expected)

    def _back(self, member: str, failed: bool = False) -> bool:
        """Bring a member back to the release it had; whether that went well. Only one that failed is left with none."""
        target = self._had(member)
        rounds = _planner.put_back(target, self.wishes, self.world)
        if not rounds or (target.release is None and not failed):
            return True
        had = f"release {target.release}" if target.release else "no release (it had none)"
        self.tell(f"{member}: {'failed, ' if failed else ''}going back to {had}")
        if not self._rounds(rounds):
            return False
        self.result.returned.append(member)
        return True

    def _rounds(self, rounds: Sequence[_planner.Round]) -> bool:
        return not any(self.round(part) for part in rounds)

    def words(self, member: str) -> str:
        return describe(self.result.states, member, self.wishes)


def _balancers(states: Mapping[str, HostState], member: str, wishes: Mapping[str, Wish]) -> Iterator[tuple[str, bool]]:
    wish = wishes.get(member.partition("/")[0])
    for name in wish.balancers if wish else ():
        if name in states:
            yield name, states[name].serves(member)


def describe(states: Mapping[str, HostState], member: str, wishes: Mapping[str, Wish]) -> str:
    """One member now, in words."""
    host, _, slot = member.partition("/")
    seen = states[host].slots[slot]
    serving = dict(_balancers(states, member, wishes))
    here = [name for name, serves in serving.items() if serves]
    where = "out of the balancer" if not here else "serving" if len(here) == len(serving) else f"serving on {', '.join(here)} only"
    parts = [
        f"release {seen.release}" if seen.release else "no release running",
        f"supervisor says {seen.state}",
        "healthy" if seen.healthy else f"not healthy ({seen.seen})",
        where,
    ]
    return ", ".join(parts)


def table(states: Mapping[str, HostState], wishes: Mapping[str, Wish] | None = None, lost: Mapping[str, str] | None = None) -> list[str]:
    """Every member now, a line each."""
    lines = []
    for host, state in states.items():
        stamp = f" (last seen {time.strftime('%H:%M:%S', time.localtime(state.time))}, the host is lost)" if lost and host in lost else ""
        lines += [f"{host}/{slot}: {describe(states, f'{host}/{slot}', wishes or {})}{stamp}" for slot in state.slots]
    return lines


def failure_text(failure: Failure) -> str:
    """A failure for the person on call: what, where, expected, seen, the program's last words."""
    who = failure.member or failure.host
    where = f" on {failure.host}" if failure.host and not who.startswith(failure.host) else ""
    lines = [f"{who} failed at {failure.step}{where}: expected: {failure.expected}; seen: {failure.seen}"]
    if failure.log:
        lines += ["its last log lines:", *(f"  {line}" for line in failure.log)]
    return "\n".join(lines)


def booked(result: Result) -> dict[str, str]:
    """Whose fault it was: the text of what failed, by the host that it is booked on."""
    found: dict[str, list[str]] = {}
    for failure in result.failures:
        found.setdefault(failure.member.partition("/")[0] or failure.host, []).append(failure_text(failure))
    for host, why in result.lost.items():
        found.setdefault(host, []).append(why)
    if result.blocked:
        found.setdefault(result.blocked_on, []).append(result.blocked)
    return {host: "\n".join(texts) for host, texts in found.items()}


def message(result: Result, wishes: Sequence[Wish]) -> str:
    """The whole message of a run that did not reach its end, with what to do next."""
    known = by_host(wishes)
    lines = [f"Release {wishes[0].release} of {wishes[0].service} was not completed."]
    lines += [failure_text(failure) for failure in result.failures]
    lines += [_lost_text(host, why, result, known) for host, why in result.lost.items()]
    if result.blocked:
        lines.append(result.blocked)
    if result.failures:
        lines.append(_aftermath(result, known))
    lines += ["members now:", *(f"  {line}" for line in table(result.states, known, result.lost))] if result.states else []
    lines.append(_advice(result))
    return "\n".join(lines)


def _lost_text(host: str, why: str, result: Result, wishes: Mapping[str, Wish]) -> str:
    if not result.changed:
        return f"{why}\nNothing was changed."
    if wishes[host].members:
        return f"{why}\nThe spread ended there; the others were not touched. Its members were last seen as listed below."
    serving = result.states[host].balancer
    names = ", ".join(serving.serving) if serving else "not known"
    return f"{why}\nNo member that it may still serve was stopped. When it was last seen, it served: {names}."


def _advice(result: Result) -> str:
    again = "run the same command again: it goes on where this run ended."
    if result.lost:
        return f"When {' and '.join(result.lost)} {'is' if len(result.lost) == 1 else 'are'} back, {again} A balancer that is gone for good is named in bluegreen_balancers_absent."
    return f"Mend the cause, then {again}"


def _aftermath(result: Result, wishes: Mapping[str, Wish]) -> str:
    """What became of the failed member, and of the others."""
    member = result.failures[0].member
    host, _, slot = member.partition("/")
    if not slot or host not in result.states:
        return "No member was at fault."
    others = [name for name in result.returned if name != member]
    rest = f"{', '.join(others)} went back, too." if others else "the others were not touched."
    seen = result.states[host].slots[slot]
    serving = any(serves for _name, serves in _balancers(result.states, member, wishes))
    if serving and seen.release:
        text = f"{member} is back on release {seen.release} and serves; {rest}"
    elif sum(failure.member == member for failure in result.failures) > 1:
        text = f"{member} could not be put back either and stays out of the balancer; {rest}"
    else:
        text = f"{member} has no release to go back to and stays out of the balancer; {rest}"
    second = [failure.member for failure in result.failures[1:] if failure.member and failure.member != member]
    if second:
        text += f" The way back ended at {second[0]}, which could not be put back: nothing more was tried."
    return text
