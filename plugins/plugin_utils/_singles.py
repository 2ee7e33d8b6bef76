# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs that run once a host or once in the fleet: where each shall be, by what was seen (pure), and how it gets there.

A job of the fleet is where its permit is. It moves only when its old host has given that up, and it begins on a host
without one only when every other host has said, in this run, that it has nothing of it. So a run that is cut off
anywhere, a host that is lost, and a second run never make two; what cannot be proved is not started, and that is said.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Refusal, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import WORKERS, Job
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from ._result import failure_text
from ._runner import Lost, Remote, Tell


@dataclass(frozen=True)
class Move:
    """Where one job goes: away from ``leave``, to ``target`` ('' is nowhere), once all of ``vouch`` have said that it is not there.

    ``again``: the target has it already, and has its permit. ``absent`` are the hosts that are gone for good.
    ``problem`` says why it is started nowhere, on ``booked``; ``told`` is a line for the terminal.
    """

    job: str
    target: str = ""
    again: bool = False
    leave: tuple[str, ...] = ()
    vouch: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    problem: str = ""
    booked: str = ""
    told: str = ""


@dataclass(frozen=True)
class Sight:
    """What is known of the hosts: ``inside`` may be changed by this run, all others not. ``silent`` are those that cannot be asked, and why."""

    inside: Mapping[str, Wish]
    seen: Mapping[str, HostState]
    silent: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[str, str] = field(default_factory=dict)


def words(move: Move) -> str:
    """What will become of it, for a plan."""
    return move.problem or move.told or (f"{move.job} would start anew on {move.target}" if move.target else f"{move.job} would end on {', '.join(move.leave)}")


def decide(sight: Sight) -> list[Move]:
    """What is not as wished yet. Pure."""
    return [*_forgotten(sight), *_of_hosts(sight), *_of_fleet(sight)]


def _forgotten(sight: Sight) -> Iterator[Move]:
    """What is there and no longer wished."""
    for host, wish in sight.inside.items():
        for state in sight.seen[host].jobs if host in sight.seen else ():
            if wish.single(state.id) is None:
                yield Move(state.id, leave=(host,))


def _of_hosts(sight: Sight) -> Iterator[Move]:
    for host, wish in sight.inside.items():
        for job in wish.singles:
            state = sight.seen[host].job(job.id) if host in sight.seen else None
            if host in sight.seen and job.scope == "host" and not (state and state.right):
                yield Move(job.id, host, again=state is not None)


def _of_fleet(sight: Sight) -> Iterator[Move]:
    first = next(iter(sight.inside.values()), None)
    for job in first.fleet_jobs if first else ():
        move = _move(job, first.fleet if first else (), sight)
        if move:
            yield move


def _move(job: Job, hosts: Sequence[str], sight: Sight) -> Move | None:
    """One job of the fleet."""
    holders = [host for host in hosts if host in sight.seen and sight.seen[host].job(job.id)]
    near = [host for host in holders if host in sight.inside]
    far = [host for host in holders if host not in sight.inside]
    if far and (not near or job.schedule or any(_runs(host, job, sight) for host in far)):
        return Move(job.id, leave=tuple(near), told=f"{job.id} stays as it is on {far[0]}, which this run does not change")
    mute = [host for host in hosts if host not in sight.seen and host not in sight.absent]
    there = max(near, key=lambda host: _runs(host, job, sight), default="")
    here = [host for host in hosts if host in sight.inside and host in sight.seen]
    if not there and mute:
        return _not_started(job, (job.host if job.host in here else "") or (here or mute)[0], mute, sight)
    asked = job.host if job.host in here and not mute else ""
    target = asked or there or (here[0] if here else "")
    state = sight.seen[target].job(job.id) if target else None
    leave = tuple(host for host in near if host != target)
    if not target or (state and state.right and not leave):
        return None
    others = tuple(host for host in hosts if host in sight.seen and host != target and host not in leave)
    again = state is not None
    return Move(job.id, target, again, leave, () if again else others, tuple(sight.absent))


def _runs(host: str, job: Job, sight: Sight) -> bool:
    state = sight.seen[host].job(job.id)
    return bool(state and state.pid)


def _not_started(job: Job, target: str, mute: Sequence[str], sight: Sight) -> Move:
    why = "\n".join(f"  {host}: {sight.silent.get(host, 'was not asked')}" for host in mute)
    which = "that host" if len(mute) == 1 else "those hosts"
    problem = (
        f"{job.id} is started nowhere: it is seen on no host, and it may run on {', '.join(mute)}, which cannot be asked.\n{why}\n"
        f"Run again when {which} can be asked. What is gone for good is named in bluegreen_workers_absent, as in {{{mute[0]}: burnt down}}."
    )
    return Move(job.id, problem=problem, booked=target)


@dataclass
class Moved:
    """What became of the moves: ``problems`` are texts by the host that they are booked on."""

    events: list[Event] = field(default_factory=list)
    problems: dict[str, list[str]] = field(default_factory=dict)
    would: bool = False  # in check mode: there is something to do

    @property
    def changed(self) -> bool:
        return self.would or bool(self.done)

    @property
    def done(self) -> list[Event]:
        """What was changed."""
        return [event for event in self.events if event.outcome == "ok" and event.step not in ("vouch", "check")]

    @property
    def booked(self) -> dict[str, str]:
        return {host: "\n".join(texts) for host, texts in self.problems.items()}


def steps_away(moves: Iterable[Move], release: str) -> dict[str, list[Step]]:
    """What each host does first: let go, or say that there is nothing to let go."""
    found: dict[str, list[Step]] = {}
    for move in moves:
        kept = [move.target] if move.again and not move.job.startswith("cron:") else []  # an entry of cron is only written anew
        for host in (*move.leave, *kept):
            found.setdefault(host, []).append(Step("stop", host, (f"{host}/{move.job}",), release if host == move.target else ""))
        for host in move.vouch:
            found.setdefault(host, []).append(Step("vouch", host, (f"{host}/{move.job}",)))
    return found


def carry_out(moves: Sequence[Move], wishes: Mapping[str, Wish], release: str, remote: Remote, tell: Tell, proceed: Callable[[], None]) -> Moved:
    """Do the moves: all hosts let go, at the same time, then those that shall have a job begin. ``wishes`` are those of all hosts that take part."""
    run = _Run(wishes, remote, tell, proceed)
    for move in moves:
        if move.told:
            tell(move.told)
        if move.problem:
            run.note(move.booked, move.problem)
    away = steps_away(moves, release)
    remote.together([functools.partial(run.away, host, steps) for host, steps in away.items()])
    targets = {move.target: [other for other in moves if other.target == move.target] for move in moves if move.target}
    remote.together([functools.partial(run.begin, host, mine, release) for host, mine in targets.items()])
    return run.moved


class _Run:
    def __init__(self, wishes: Mapping[str, Wish], remote: Remote, tell: Tell, proceed: Callable[[], None]) -> None:
        self.wishes = wishes
        self.remote = remote
        self.tell = tell
        self.proceed = proceed
        self.moved = Moved()
        self._free: set[tuple[str, str]] = set()  # (host, job): it has said, in this run, that nothing of it is there or runs

    def note(self, host: str, text: str) -> None:
        self.moved.problems.setdefault(host, []).append(text)
        self.tell(text)

    def away(self, host: str, steps: Sequence[Step]) -> None:
        """One step after the other: what fails for one job does not keep another."""
        for step in steps:
            if self._walk(host, [step]):
                self._free.add((host, step.slot))

    def begin(self, host: str, moves: Sequence[Move], release: str) -> None:
        """Point to the release, and start what may start; each by itself, so that one that fails does not keep another."""
        point = Step("point", host, (f"{host}/{WORKERS}",), release)
        for move in moves:
            must_go = [*move.leave, *move.vouch, *([host] if move.again and not move.job.startswith("cron:") else [])]
            missing = [name for name in must_go if (name, move.job) not in self._free]
            if missing:
                self.note(host, f"{move.job} is not started on {host}: {', '.join(missing)} did not give it up, as is said of {', '.join(missing)}.")
                continue
            member, out_of = (f"{host}/{move.job}",), (*move.leave, *move.vouch, *move.absent)
            steps = [point, Step("start", host, member, release, out_of=out_of)]
            self._walk(host, steps if move.job.startswith("cron:") else [*steps, Step("check", host, member, release)])

    def _walk(self, host: str, steps: Sequence[Step]) -> bool:
        """The steps in as many calls as their waits need; whether they are done."""
        left = list(steps)
        try:
            while left:
                self.proceed()
                self.tell(left[0])
                answer = self.remote.walk(self.wishes[host], left)
                for event in answer.events:
                    self.tell(event)
                self.moved.events += [event for event in answer.events if event.outcome != "waiting"]
                if answer.failure:
                    self.note(host, failure_text(answer.failure))
                    return False
                if answer.waiting is None:
                    return True
                number = next(number for number, step in enumerate(left) if step.name == answer.waiting.name)
                left = [answer.waiting, *left[number + 1 :]]
        except (Lost, Refusal) as error:
            self.note(host, str(error))
        return False
