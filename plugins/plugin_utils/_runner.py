# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe, plan, apply, observe, until done: the walk of a release through the fleet. Ansible-free.

The runner knows hosts only through :class:`Remote` and tells what happens only through ``tell``; it decides nothing
that the planner or a step's own guard can decide.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _maintenance
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, HostState, Member, Refusal, Step, Wish

from . import _clocks, _planner
from ._judgement import Crossing
from ._result import Looked, Result, Returned, Turn, booked, by_host, describe, left_alone, marks, members, message, table
from ._world import World

__all__ = [
    "Abandoned",
    "Answer",
    "Lost",
    "Policy",
    "Remote",
    "Result",
    "Returned",
    "Told",
    "Turn",
    "booked",
    "by_host",
    "marks",
    "members",
    "message",
    "preview",
    "swap",
    "table",
    "take_out",
]

T = TypeVar("T")

_LOOK = 0.5  # seconds between two looks at what the clients show
_LONG = 2.0  # seconds of watching that are worth a line


@dataclass(frozen=True)
class Answer:
    """What a host said to a call: the events of its steps, how it looks now (None where it is not looked at), and what is not over or went wrong."""

    state: HostState | None
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

    def elsewhere(self, wish: Wish, step: Step) -> Answer:
        """Let the controller or any inventory host run a command of the user's that is about a member of ``wish``."""

    def together(self, jobs: Sequence[Callable[[], T]]) -> list[T]:
        """All jobs at the same time; what they returned, in order, when the last one has ended."""


@dataclass(frozen=True)
class Policy:
    """How a run goes through the fleet: hosts in a batch, and what becomes of the others when a member fails (stop, host, fleet).

    ``chosen`` are the only members that it is about, in maintenance or not; by default it is about all that are not.
    ``apart``: a host does one member, and is looked at, before it does the next.
    """

    serial: tuple[str, ...] = ("1",)
    on_failure: str = "stop"
    chosen: frozenset[str] = frozenset()
    apart: bool = False


class Watch(Protocol):
    """What looks at clients and hosts while a swap goes on. Each batch is watched for ``seconds`` once it serves."""

    seconds: float

    def crossed(self, states: Mapping[str, HostState], began: float, entered: float) -> list[Crossing]:
        """The limits that are crossed in a swap that began, and whose latest batch serves, since these moments (epoch seconds; 0: none serves)."""


Told = Event | Step | Turn | Looked | Returned | Failure | str
Tell = Callable[[Told], None]


def preview(wishes: Sequence[Wish], states: Mapping[str, HostState], policy: Policy | None = None) -> Result:
    """The plan as it stands, with nothing done: each batch's steps on the assumption that those before go well."""
    policy = policy or Policy()
    world = World(by_host(wishes), states.values(), policy.chosen)
    result = Result(states=dict(states), began=dict(states))
    result.blocked = _nobody(world)
    steps: list[Step] = []
    for decision in _planner.course(world, policy.serial, policy.apart):
        if not isinstance(decision, _planner.Batch):
            _end(result, decision, world)
            break
        result.batches.append(tuple(decision.members))
        for step in decision.steps:
            steps.append(step)
            world.assume(step)
    first, rest = _planner.declared_first(steps, _shared(world))
    result.planned = [*(step for part in first.values() for step in part), *rest]
    result.changed = bool(result.planned)
    return result


def _same(one: Step, other: Step) -> bool:
    return (one.members, one.name, one.hook) == (other.members, other.name, other.hook)


def _in_one_place(host: str, steps: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """What the next call does, and the rest: a command of the user's somewhere else than on ``host`` is a call of its own."""
    away = next((number for number, step in enumerate(steps) if step.host != host), len(steps))
    return list(steps[: away or 1]), list(steps[away or 1 :])


def _nobody(world: World) -> str:
    """Why the run is about no member at all, '' if it is about some."""
    members = [member.id for wish in world.wishes.values() for member in wish.members]
    if not members or not all(map(world.is_left_alone, members)):
        return ""
    who = ", ".join(f"{member} {_maintenance.words(world.maintenance[member])}" for member in members if member in world.maintenance)
    return f"every member of this run is left alone: {who}. hotswap.bluegreen.enable brings them back."


def _shared(world: World) -> set[str]:
    """The hosts that declare their pools before anything is touched: all but those that do all of their work in one call anyway."""
    return {wish.host for wish in world.wishes.values() if wish.others or not wish.members}


def _end(result: Result, decision: _planner.Blocked | _planner.Fallen, world: World) -> None:
    """Note why the walk ends here."""
    if isinstance(decision, _planner.Blocked):
        result.blocked, result.blocked_on = decision.reason, decision.host
        return
    words = describe(result.states, decision.member, world.wishes)
    result.blocked, result.blocked_on = f"{decision.member} was swapped and is not as wished again: {words}", decision.member.partition("/")[0]


def swap(
    wishes: Sequence[Wish],
    remote: Remote,
    tell: Tell,
    policy: Policy | None = None,
    proceed: Callable[[], None] = lambda: None,
    detail: Callable[[str], None] = lambda _text: None,
    watch: Watch | None = None,
) -> Result:
    """Walk the release through all members; ``proceed`` raises :class:`Abandoned` when the run must not go on.

    ``wishes`` are the hosts that run members, in the order of the walk, and their balancers. ``tell`` gets every step
    as it begins and ends, ``detail`` what only a person looking for something wants to know. A round's steps of one
    host travel in one call: each step guards itself there, so a member that is not as it was expected ends the call,
    not the service. After each batch the plan is made anew from what was seen.

    The first member that fails ends the spread, and the policy says what goes back. So does a limit that ``watch`` finds
    crossed: the members that were swapped last are at fault then. A host that is lost ends it, too,
    and nothing else is touched then. :class:`Abandoned` comes out: nothing is cleaned up then, running again completes it.
    """
    run = _Run(by_host(wishes), remote, tell, policy or Policy(), proceed, detail, watch)
    there = run.observe()
    run.tell(Looked("before", run.result.began))
    if there:
        run.forward()
    run.tell(Looked("after", run.result.states))
    return run.result


def take_out(
    wishes: Sequence[Wish], members: Sequence[str], remote: Remote, tell: Tell, proceed: Callable[[], None] = lambda: None, dry: bool = False
) -> Result:
    """Take the members out of every balancer that serves them, for maintenance; see :func:`swap` for the rest. Their processes stay as they are.

    Their own hosts may be gone. ``dry`` only tells the steps.
    """
    run = _Run(by_host(wishes), remote, tell, Policy(chosen=frozenset(members)), proceed, lambda _text: None)
    if run.observe(needed=[wish.host for wish in wishes if wish.pool]):
        run.take_out(members, dry)
    return run.result


class _Run:
    def __init__(
        self,
        wishes: Mapping[str, Wish],
        remote: Remote,
        tell: Tell,
        policy: Policy,
        proceed: Callable[[], None],
        detail: Callable[[str], None],
        watch: Watch | None = None,
    ) -> None:
        self.wishes = wishes
        self.remote = remote
        self.policy = policy
        self.proceed = proceed
        self.detail = detail
        self.watch = watch
        self.result = Result()
        self._began = time.time()
        self._entered = 0.0  # since when the latest batch serves
        self._latest: tuple[str, ...] = ()  # that batch
        self.before = self._seen(())
        self.world = self._seen(())  # as seen, and with what is carried over assumed
        self._tell = tell
        self._lock = threading.Lock()
        self._foreseen = 0  # batches
        self._spread = True  # False from the first failure on
        self._out: set[tuple[str, str]] = set()  # (balancer, member): taken out by this run, and not back yet
        self._worked_on: set[str] = set()  # members whose process or release this run has changed, or tried to
        self._carried: _planner.Round = {}  # the last round of the batch before: it goes with the first one of the next

    def _seen(self, states: Iterable[HostState]) -> World:
        return World(self.wishes, states, self.policy.chosen)

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
        for line in table(self.result.states, self.wishes):
            self.detail(f"at the beginning: {line}")
        return not self.result.lost

    # Forward.

    def forward(self) -> None:
        """Batch after batch, until all is as wished or something fails."""
        self.result.blocked = _nobody(self.world)
        if self.result.blocked:
            return
        for member in (member.id for wish in self.wishes.values() for member in wish.members):
            if member in self.world.maintenance and self.world.is_left_alone(member):
                self.tell(f"{member}: {left_alone(self.result.states, member)}")
        if self._declare():
            return
        for decision in _planner.course(self.world, self.policy.serial, self.policy.apart):
            if isinstance(decision, _planner.Batch):
                self._do(decision)
            elif self._carried:  # what is assumed must come true before anybody is blamed
                self._flush((), {})
            else:
                _end(self.result, decision, self.world)
                return
            if not self._spread:
                return
        if self._flush((), {}):
            return
        left = _planner.plan(self.world, self.wishes)
        if not isinstance(left, _planner.Done):
            _end(self.result, _planner.Fallen(left.members[0]) if isinstance(left, _planner.Batch) else left, self.world)

    def _declare(self) -> bool:
        """The pools that the whole walk needs and a balancer lacks, in one go, before anything is touched. Whether that failed."""
        foreseen = preview(list(self.wishes.values()), self.result.states, self.policy)
        self._foreseen = len(foreseen.batches)
        first, _ = _planner.declared_first(foreseen.planned, _shared(self.world))
        return self.round(first)

    def _do(self, batch: _planner.Batch) -> None:
        for step in batch.steps:
            self.detail(f"{step.member} on {step.host}: {step.name}")
        if self._crossed(()):
            self.recover(self._latest)
            return
        self.result.batches.append(tuple(batch.members))
        number = len(self.result.batches)
        self.tell(Turn(tuple(batch.members), number, max(number, self._foreseen), tuple(batch.steps)))
        self.result.swapped += batch.members
        if self._flush(batch.members, batch.leave):
            return
        if self.round(batch.work) or self._crossed(batch.members):
            self.recover((*self._failed(self._latest), *batch.members))
            return
        if batch.after or self.watch:
            if self.round(batch.enter) or self.round(batch.after):
                self.recover(batch.members)
                return
            self._look_after(batch.members)
            return
        self._carried = batch.enter
        for steps in batch.enter.values():
            for step in steps:
                self.world.assume(step)

    def _flush(self, members: Sequence[str], following: _planner.Round) -> bool:
        """Do what was carried over, and on the same hosts, in the same calls, what follows. Whether something failed."""
        carried, self._carried = self._carried, {}
        part = {host: (*carried.get(host, ()), *following.get(host, ())) for host in {**carried, **following}}
        if not self.round(part) and not self._crossed(members):
            return False
        entering = (member for steps in carried.values() for step in steps for member in step.members)
        self.recover(tuple(dict.fromkeys((*self._failed(self._latest), *entering, *members))))
        return True

    # What clients and hosts show.

    def _look_after(self, members: Sequence[str]) -> None:
        """Watch the batch that serves now for its time, and take it back if it crosses a limit."""
        assert self.watch
        self._latest, self._entered = tuple(members), time.time()
        if self.watch.seconds >= _LONG:
            self.tell(f"{', '.join(members)}: watched for {self.watch.seconds:g} s")
        end = time.monotonic() + self.watch.seconds
        while not self._crossed(members):
            left = end - time.monotonic()
            if left <= 0:
                return
            self.proceed()
            time.sleep(min(left, _LOOK))
            if left <= _LOOK:  # the hosts are asked once, at the end of the time
                self._look_again(members)
                if self.result.lost:
                    break
        self.recover(members)

    def _look_again(self, members: Sequence[str]) -> None:
        """What the hosts of the members show now, where that is limited."""
        hosts = dict.fromkeys(member.partition("/")[0] for member in members)
        self.remote.together([functools.partial(self._look_at, self.wishes[host]) for host in hosts if self.wishes[host].limits.any])

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

    def _crossed(self, members: Sequence[str]) -> bool:
        """Whether a limit is crossed; those of ``members`` that this run has worked on have failed then, else the batch before."""
        found = self.watch.crossed(self.result.states, self._began, self._entered) if self.watch else []
        for crossing in found[:1]:
            for member in [member for member in members if member in self._worked_on] or self._latest or ("",):
                failure = Failure(member, "watch", crossing.expected, crossing.seen, (), crossing.host or member.partition("/")[0])
                self.result.failures.append(failure)
                self.tell(failure)
            self._spread = False
        return bool(found)

    # Out, for maintenance.

    def take_out(self, members: Sequence[str], dry: bool) -> None:
        """These members out of every balancer, or, when that fails on one, back on all."""
        decision = _planner.out(members, self.world)
        if isinstance(decision, _planner.Blocked):
            _end(self.result, decision, self.world)
            return
        declared, rest = _planner.declared_first(decision.steps)
        if dry:
            self.result.planned = [*(step for part in declared.values() for step in part), *rest]
            self.result.changed = bool(decision.steps)
            for step in self.result.planned:
                self.tell(step)
            return
        if self.round(declared):
            return
        if self.round({host: tuple(step for step in rest if step.host == host) for host in dict.fromkeys(step.host for step in rest)}):
            self.recover(decision.members)

    # One round.

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
            while left := left if self._spread or mending else [step for step in left if in_work and step.members == (in_work,)]:
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
                if answer.failure:
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
            self._spread = False
        self.tell(f"{host}: {error}")

    def _informed(self, step: Step) -> Step:
        """The step with what other hosts have said, which its own host cannot see.

        Stopping and starting: which balancers were seen, with their own eyes, not to serve the member. A change of what
        is served: what members on other releases answer rightly.
        """
        world, host = self.world, step.host
        if step.name in ("stop", "start"):
            others = self.wishes[host].others
            return replace(step, out_of=tuple(name for name in others if name in world and not world.serves(name, step.members[0])))
        if step.name == "switch":
            return replace(step, expected=world.expected(host))
        return replace(step, expected=world.expected(host, step.members)) if step.name == "enable" else step

    def _note(self, host: str, steps: Sequence[Step], answer: Answer) -> None:
        for event in answer.events:
            self.tell(event)
        members = {(step.name, step.member): step.members for step in steps}
        with self._lock:
            self.result.calls += 1
            if answer.state:
                self.result.states[host] = answer.state
            kept = [event for event in answer.events if event.outcome != "waiting"]
            self.result.events += kept
            self.result.changed = self.result.changed or any(event.outcome in ("ok", "overtime") for event in kept)
            for event in answer.events:
                self._remember(host, event, members.get((event.step, event.member), ()))
            if answer.failure:
                self.result.failures.append(answer.failure)
                self._spread = False
        if answer.failure:
            self.tell(answer.failure)

    def _remember(self, host: str, event: Event, members: Sequence[str]) -> None:
        """What this run has done and may have to take back."""
        if event.step in ("stop", "point", "start"):
            self._worked_on.update(members)
        elif event.step == "switch" and event.outcome == "ok":
            self._out.update((host, member) for member in members)
        elif event.step == "enable" and event.outcome == "ok":
            self._out.difference_update((host, member) for member in members)

    # After a failure.

    def recover(self, members: Sequence[str]) -> None:
        """The batch at its end: who is healthy on the new release serves, who was not worked on serves again, who failed goes back.

        What the policy says comes after that. Never more than once: a rollback is not rolled back.
        """
        for member in members:
            if self._can_be_asked(member) and member not in self._failed(members):
                self._complete(member)
        failed = self._failed(members)
        back = [self._back(member, failed=True) for member in failed if self._can_be_asked(member)]
        if self.policy.on_failure == "stop" or not back or not all(back) or self.result.lost or self.result.blocked:
            return
        hosts = {member.partition("/")[0] for member in failed}
        for member in reversed(self.result.swapped):
            mine = member not in failed and (self.policy.on_failure == "fleet" or member.partition("/")[0] in hosts)
            if mine and not self._back(member):
                return

    def _failed(self, members: Sequence[str]) -> list[str]:
        failed = {failure.member for failure in self.result.failures}
        return [member for member in members if member in failed]

    def _can_be_asked(self, member: str) -> bool:
        return member.partition("/")[0] in self.world

    def _of(self, member: str) -> tuple[Wish, Member]:
        host, _, slot = member.partition("/")
        return self.wishes[host], self.wishes[host].member(slot)

    def _as_it_is(self, member: str) -> _planner.Target | None:
        """The member with the process it has, where this run took it out; None if this run has worked on it, or it is not right."""
        wish, found = self._of(member)
        onto = tuple(name for name in wish.balancers if (name, member) in self._out)
        return None if member in self._worked_on else _planner.as_it_is(wish, found, self.world, onto)

    def _complete(self, member: str) -> None:
        """Let a member of a broken-off batch serve that this run has not worked on yet, or that is right."""
        wish, found = self._of(member)
        target = self._as_it_is(member)
        if target is None and _planner.runs_as_wished(wish, self.world.slot(found)) and self.world.answers(member):
            target = _planner.Target(wish, found, wish.release, wish.balancers)
        if target:
            self._put(_planner.put(target, self.world))

    def _back(self, member: str, failed: bool = False) -> bool:
        """Bring a member back to the release it had; whether that went well. Only one that failed is left with none."""
        wish, found = self._of(member)
        had = _planner.as_it_had(wish, found, self.before)
        if not failed and (member not in self._worked_on or had.release is None or _planner.was_swapped_before(wish, self.before.slot(found))):
            return True
        target = self._as_it_is(member) or had
        rounds = _planner.put(target, self.world)
        if isinstance(rounds, _planner.Batch) and not rounds.rounds:
            return True
        words = f"release {target.release}" if target.release else "no release (it had none)"
        self.tell(f"{member}: {'failed, ' if failed else ''}going back to {words}")
        if not self._put(rounds):
            return False
        self.result.returned.append(member)
        self.tell(Returned(member))
        return True

    def _put(self, decision: _planner.Batch | _planner.Blocked) -> bool:
        """Do the rounds of one member; whether it is through."""
        if isinstance(decision, _planner.Blocked):
            _end(self.result, decision, self.world)
            return False
        return not any(self.round(part, mending=True) for part in decision.rounds)
