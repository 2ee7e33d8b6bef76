# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do steps on one host, in order, until one fails or a wait outlasts its slice; then look at the host again.

Each step guards itself here, on the spot, whatever the controller believed when it planned: a member is stopped only
while its balancer serves others, started only on a free port, enabled only when its own process listens, runs the
release and was healthy N times in a row. Waits are predicates with a clock; a slice ends them early, so that the
controller can say how far they are and notice an interrupt, and ``resume`` carries on in the next call.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from . import _declare, _files, _health, _nginx, _observe, _processes, _program, _release, _sockets
from ._model import Event, Failure, Health, HostState, Member, Refusal, Step, Wish
from ._supervisor import DEAD_STATES, Client, waits_for_nothing

_LOOK = 0.01  # seconds between looks at something that changes by itself
_QUIET_LOOKS = 3  # a drain is over when this many looks in a row see no connection
_SETTLE = 0.2  # seconds a process must be old before a signal is sure to reach it (FACTS: lost before exec)
_STOP_SPARE = 5.0  # seconds on top of stopwaitsecs: supervisor's own SIGKILL, and the kernel's cleaning up


@dataclass(frozen=True)
class Clock:
    """Time as the steps use it; tests bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Outcome:
    """What became of the steps: ``waiting`` is the step whose wait goes on, with ``resume`` and ``elapsed`` filled in."""

    events: Tuple[Event, ...]
    state: HostState
    waiting: Optional[Step] = None
    failure: Optional[Failure] = None


class _Waiting(Exception):
    """The slice is over before the wait is."""

    def __init__(self, detail: str, resume: Dict[str, Any]) -> None:
        super().__init__(detail)
        self.detail = detail
        self.resume = resume


class _Failed(Exception):
    """The member is not as it must be."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(seen)
        self.expected = expected
        self.seen = seen


class _Overtime(Exception):
    """A wait's time is over and the walk goes on all the same."""


def run(wish: Wish, client: Client, steps: Sequence[Step], seconds: float = 2.0, clock: Optional[Clock] = None) -> Outcome:
    """Do ``steps``. A wait that is not over ``seconds`` after the call began is handed back to be resumed."""
    return _Walk(wish, client, clock or Clock(), seconds).run(steps)


class _Walk:
    def __init__(self, wish: Wish, client: Client, clock: Clock, seconds: float) -> None:
        self.wish = wish
        self.client = client
        self.clock = clock
        self.slice_end = clock.now() + seconds
        self.events: List[Event] = []

    def run(self, steps: Sequence[Step]) -> Outcome:
        waiting: Optional[Step] = None
        failure: Optional[Failure] = None
        for step in steps:
            if self.events and self.clock.now() >= self.slice_end:
                waiting = step  # not begun: what was done is told first
                break
            if "began" in step.resume:  # what passed between two calls counts, too: the clock is the host's in both
                step = replace(step, elapsed=max(step.elapsed, self.clock.now() - step.resume["began"]))
            began, stamp = self.clock.now() - step.elapsed, time.time() - step.elapsed
            try:
                detail = getattr(self, f"_{step.name}")(step, self.wish.member(step.slot))
                outcome = "ok" if detail is not None else "unchanged"
            except _Waiting as wait:
                outcome, detail = "waiting", wait.detail
                waiting = replace(step, elapsed=self.clock.now() - began, resume={**wait.resume, "began": began})
            except _Overtime as over:
                outcome, detail = "overtime", str(over)
            except (_Failed, Refusal) as error:
                outcome, detail = "failed", str(error)
                failure = self._failure(step, error)
            self.events.append(Event(step.name, step.member, outcome, stamp, self.clock.now() - began, detail or ""))
            if waiting or failure:
                break
        return Outcome(tuple(self.events), _observe.host(self.wish, self.client, self.clock.sleep), waiting, failure)

    def _failure(self, step: Step, error: Exception) -> Failure:
        expected = error.expected if isinstance(error, _Failed) else f"step {step.name} of {step.member} can be done"
        if step.name in ("start", "check") and step.release:
            _release.SlotPlace(self.wish.root, step.slot).set_mark(step.release, _release.FAILED)
            _release.remember(self.wish.root, slot=step.slot, release=step.release, result="failed", why=str(error))
        log = self.client.log(_program.program_name(self.wish.service, step.slot)) if step.name in ("stop", "start", "check") else []
        return Failure(step.member, step.name, expected, str(error), tuple(log))

    def _pause(self, detail: str, seconds: float = _LOOK, **resume: Any) -> None:
        """Sleep a moment, or end the slice."""
        if self.clock.now() >= self.slice_end:
            raise _Waiting(detail, resume)
        self.clock.sleep(seconds)

    # Each step returns what there is to say, None if there was nothing to do.

    def _switch(self, step: Step, member: Member) -> Optional[str]:
        """Let the balancer serve ``step.serve``: from here on no new request goes to anybody else."""
        self._must_not_undercut(step, member)
        words = f"serving {', '.join(step.serve) or 'nobody'}"
        return words if _nginx.switch(self.wish, frozenset(step.serve)) else None

    def _must_not_undercut(self, step: Step, member: Member) -> None:
        """Those who stay must answer now, whatever they did when the plan was made; taking a dead one out costs nothing."""
        if member.id in step.serve or not _observe.answers(self.wish, member, self.client, self.clock.sleep):
            return
        dead = [m.id for m in self.wish.members if m.id in step.serve and not _observe.answers(self.wish, m, self.client, self.clock.sleep)]
        if len(step.serve) - len(dead) < self.wish.min_serving:
            raise Refusal(
                f"refused to take {member.id} out: {', '.join(dead) or 'nobody else'} would have to serve and does not answer "
                f"{_health.expectation(self.wish.health).split(' within')[0]}; bluegreen_min_serving is {self.wish.min_serving}."
            )

    def _declare(self, step: Step, _member: Member) -> Optional[str]:
        """Declare a pool that nobody foresaw: the one reload there is, before anything is touched."""
        return "nginx reloaded" if _declare.declare(self.wish, (frozenset(step.serve),)).reloaded else None

    def _drain(self, step: Step, member: Member) -> str:
        """Wait until the balancer has no connection to the member, ``drain_timeout`` at most."""
        self._must_be_out(member)
        end = self.clock.now() - step.elapsed + self.wish.drain_timeout
        quiet = 0
        while quiet < _QUIET_LOOKS:
            counts = _sockets.connections(member.ports.values(), _nginx.processes(self.wish.nginx)).values()
            busy, others = sum(count for count, _ in counts), sum(other for _, other in counts)
            quiet = 0 if busy else quiet + 1
            if busy and self.clock.now() >= end:
                left = f"{busy} connection{'s' if busy > 1 else ''} left after {self.wish.drain_timeout:g} s"
                if self.wish.on_drain_timeout == "stop":
                    raise _Failed(f"no connection from the balancer within bluegreen_drain_timeout ({self.wish.drain_timeout:g} s)", left)
                raise _Overtime(f"{left}; going on, they will be cut (bluegreen_on_drain_timeout is go_on)")
            if quiet < _QUIET_LOOKS:
                self._pause(f"{busy} connection{'s' if busy != 1 else ''} left, of {self.wish.drain_timeout:g} s")
        return f"no connection left{f', {others} not from the balancer' if others else ''}"

    def _must_be_out(self, member: Member) -> None:
        if member.id in _nginx.observe(self.wish).serving:
            raise Refusal(f"{member.id} still gets requests from its balancer; it is not touched.")

    def _stop(self, step: Step, member: Member) -> str:
        """Stop the program; done when supervisor says so, every process of its tree is gone and its ports are free."""
        self._must_be_out(member)
        name = _program.program_name(self.wish.service, member.slot)
        process = self.client.process(name)
        known = tuple((pid, start) for pid, start in step.resume.get("pids", ())) or _processes.identities(_processes.tree(process.pid))
        end = self.clock.now() - step.elapsed + self.wish.program.stop_timeout + _STOP_SPARE
        if not step.resume:
            self._let_settle(process.pid)
            self.client.stop(name)
        while True:
            process = self.client.process(name)
            left = _processes.alive(known)
            busy = [port for port in member.ports.values() if _sockets.listener(port, member.address, frozenset(left)).owner != "none"]
            if waits_for_nothing(process) and not left and not busy:
                return f"{len(known)} process{'es' if len(known) != 1 else ''} gone, port free"
            seen = self._what_is_left(member, process.state, left)
            if self.clock.now() >= end:
                raise _Failed(f"{name} stopped, all its processes gone and its port free within {self.wish.program.stop_timeout} s", seen)
            if process.state == "RUNNING" and waits_for_nothing(process) is False and not left:
                self.client.stop(name)  # somebody, or autorestart, started it again
            self._pause(f"{seen}, of {self.wish.program.stop_timeout} s", pids=[list(pair) for pair in known])

    def _let_settle(self, pid: int) -> None:
        ticks = os.sysconf("SC_CLK_TCK")
        start = _processes.start_time(pid) if pid else 0
        while start and time.clock_gettime(time.CLOCK_BOOTTIME) - start / ticks < _SETTLE:
            self.clock.sleep(_LOOK)

    def _what_is_left(self, member: Member, state: str, left: Tuple[int, ...]) -> str:
        holders = [pid for port in member.ports.values() for pid in _sockets.listener(port, member.address, frozenset()).others]
        words = [f"supervisor says {state}"]
        if left:
            words.append(f"still there: {', '.join(map(_processes.describe, left))}")
        if holders:
            words.append(f"port held by {', '.join(map(_processes.describe, holders))}")
        return "; ".join(words)

    def _point(self, step: Step, member: Member) -> str:
        """Make ``step.release`` the slot's current one; ``restore`` brings back the start it had before this swap."""
        place = _release.SlotPlace(self.wish.root, member.slot)
        before = place.current
        if step.restore:
            place.restore(step.release)
            if before != step.release:
                _files.link(step.release, f"{place.path}/current")
        else:
            place.point(step.release)
        return f"{before or 'nothing'} → {step.release}"

    def _start(self, step: Step, member: Member) -> str:
        """Put the program file in place if it changed, and start the program; :meth:`_check` waits for it."""
        self._must_be_out(member)
        for port in member.ports.values():
            found = _sockets.listener(port, member.address, frozenset())
            if found.owner != "none":
                who = ", ".join(map(_processes.describe, found.others)) or "a process that this user may not see"
                raise _Failed(f"port {port} is free before the start", f"port {port} is held by {who}")
        name = _program.program_name(self.wish.service, member.slot)
        path, kept = _observe.program_path(self.wish, member.slot), self._kept_program(member)
        before = _files.read(path)
        wanted = (_files.read(kept) or before or "") if step.restore else _program.program_file(self.wish, member.slot)
        known = self.client.process(name).state != "ABSENT"
        if wanted != before or not known:
            if before and not step.restore:
                _files.write(kept, before, 0o600)
            _files.write(path, wanted, 0o644)
            self.client.reread()
            if known:
                self.client.remove(name)
            self.client.add(name)
        self.client.start(name)
        return f"{name} with release {step.release}{', program file changed' if wanted != before else ''}"

    def _kept_program(self, member: Member) -> str:
        """Where the program file of before this swap waits for a put-back, until a release serves."""
        return f"{self.wish.root}/{member.slot}/.previous-program"

    def _check(self, step: Step, member: Member) -> str:
        """Wait until the member is what an enabled one must be: see :meth:`_look`, N times in a row, same process."""
        health = self._health(step)
        end = self.clock.now() - step.elapsed + self.wish.boot_timeout
        streak, pid = step.resume.get("streak", 0), step.resume.get("pid", 0)
        delay = _LOOK
        while True:
            wrong, now = self._look(step, member)
            streak = 0 if wrong or now != pid else streak
            pid = now
            if not wrong:
                streak += 1
                if streak >= health.successes:
                    wrong = self._not_yet_running(member, pid)
                    if not wrong:
                        return f"{streak} × {_health.expectation(health).split(' within')[0]}"
            seen = wrong or f"{streak} of {health.successes} checks in a row"
            if self.clock.now() >= end:
                raise _Failed(f"{_health.expectation(health)}, within bluegreen_boot_timeout ({self.wish.boot_timeout:g} s)", seen)
            delay = health.interval if streak else min(delay * 1.5, max(health.interval, _LOOK))
            self._pause(f"{seen}, of {self.wish.boot_timeout:g} s", delay, streak=streak, pid=pid)

    def _not_yet_running(self, member: Member, pid: int) -> str:
        process = self.client.process(_program.program_name(self.wish.service, member.slot))
        if process.state == "RUNNING" and process.pid == pid:
            return ""
        return f"healthy, and supervisor says {process.state} (startsecs is {self.wish.program.start_seconds})"

    def _look(self, step: Step, member: Member) -> Tuple[str, int]:
        """(what is wrong or '', the process's pid). What can only get worse raises at once."""
        name = _program.program_name(self.wish.service, member.slot)
        process = self.client.process(name)
        if process.state in DEAD_STATES:
            raise _Failed(f"{name} runs", f"supervisor says {process.state}: {process.problem or 'it ended'}")
        if not process.pid:
            return f"supervisor says {process.state}: {process.problem or 'no process'}", 0
        release = _processes.running_release(process.pid, f"{self.wish.root}/{member.slot}")
        if release != step.release:
            return f"its process runs release {release or '(not known yet)'}, not {step.release}", process.pid
        tree = _processes.tree(process.pid)
        for port in member.ports.values():
            found = _sockets.listener(port, member.address, tree)
            if found.owner == "none":
                return f"nobody listens on port {port}{self._elsewhere(tree, member)}", process.pid
            if found.owner == "foreign":
                who = ", ".join(map(_processes.describe, found.others)) or "a process that this user may not see"
                return f"port {port} is held by {who}, not by {name} (pid {process.pid}) alone", process.pid
        healthy, seen = self._ask(step, member)
        return ("" if healthy else seen), process.pid

    def _elsewhere(self, tree: frozenset[int], member: Member) -> str:
        ports = sorted(_sockets.listening_ports(tree) - set(member.ports.values()))
        return f"; its process listens on {', '.join(map(str, ports))}: does the command use $PORT?" if ports else ""

    def _health(self, step: Step) -> Health:
        return _observe.expectation(self.wish, step.slot, step.release)

    def _ask(self, step: Step, member: Member) -> Tuple[bool, str]:
        health = self._health(step)
        return _health.check(member.address, _observe.health_port(member, health), health)

    def _enable(self, step: Step, member: Member) -> str:
        """Let the balancer serve the member again, after one more look: it may have died since its checks."""
        wrong, _pid = self._look(step, member)
        if wrong:
            raise _Failed(_health.expectation(self._health(step)), wrong)
        self._switch(step, member)
        place = _release.SlotPlace(self.wish.root, member.slot)
        place.settle(step.release, _health.answer(self._health(step)))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._kept_program(member))
        _release.remember(self.wish.root, slot=member.slot, release=step.release, result="put back" if step.restore else "good")
        return f"serving {', '.join(step.serve)}"
