# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps on a member's own host: goodbye, stop, point, start, check. Each guards itself here, on the spot.

A member is stopped and started only while every balancer is switched away, started only on a free port, and called
healthy only when its own process listens, runs the release and answered rightly N times in a row.
"""

from __future__ import annotations

import contextlib
import os
from typing import FrozenSet, List, Optional, Tuple

from . import _adopt, _files, _halt, _health, _nginx, _observe_slot, _processes, _program, _release, _sockets, _workers
from ._frame import LOOK, Failed, Frame, Overtime
from ._model import Refusal, Step, Wish
from ._parts import Health, Member
from ._states import DEAD_STATES
from ._supervisor import Client


class MemberSteps:
    """The steps of the slots of one host."""

    def __init__(self, wish: Wish, client: Client, frame: Frame) -> None:
        self.wish = wish
        self.client = client
        self.frame = frame

    def _member(self, step: Step) -> Member:
        return self.wish.member(step.slot)

    def _must_be_out(self, step: Step, member: Member) -> None:
        """:class:`Refusal` unless every balancer says that it does not serve the member: ours is looked at, the others have told the controller."""
        _nginx.must_be_out(self.wish, member)
        silent = sorted(set(self.wish.others) - set(step.out_of))
        if silent:
            raise Refusal(f"{member.id} may still get requests from {', '.join(silent)}, which did not say that it is out; it is not touched.")

    def note_failure(self, step: Step, error: Exception) -> List[str]:
        """Mark the release, where the member failed with it; the program's last log lines."""
        if step.name in ("start", "check", "after_start") and step.release:
            _release.SlotPlace(self.wish.root, step.slot).set_mark(step.release, _release.FAILED)
            _release.remember(self.wish.root, slot=step.slot, release=step.release, result="failed", why=str(error))
        if step.name not in ("stop", "start", "check"):
            return []
        return _workers.log(self.wish, self.client, step.slot) or self.client.log(_program.program_name(self.wish.service, step.slot))

    def hook(self, step: Step) -> str:
        """A command of the user's at this moment of the member's swap; before the stop it is the old release's, in its environment."""
        from . import _hooks  # for those who have one

        release = _release.SlotPlace(self.wish.root, step.slot).current if step.name == _hooks.VETO else step.release
        if step.hook is None:  # what makes it this step
            raise AssertionError
        command = _hooks.in_release(self.wish, step.hook, step.slot, release, _hooks.variables(self.wish, step))
        return _hooks.work(step, self.frame, command, f"{self.wish.root}/{step.slot}/.hook-{step.name}")

    def goodbye(self, step: Step) -> Optional[str]:
        """Tell the application to let its clients go. Who cannot be told is drained and stopped all the same, as without it."""
        from . import _goodbye  # most services have none

        member = self._member(step)
        self._must_be_out(step, member)
        there = _sockets.incoming(member.ports.values())
        name, process = _adopt.running(self.wish, self.client, member.slot)
        if not there or not process.pid:
            return None
        try:
            how = _goodbye.tell(self.wish, member, self.client, name, process.pid)
        except _goodbye.Untold as why:
            raise Overtime(f"{why}; its connections have the time of the drain all the same") from None
        return f"{how}; {there} connection{'s' if there != 1 else ''}, {self.wish.goodbye.window:g} s to leave"

    def stop(self, step: Step) -> str:
        """Stop the program and its workers; done when supervisor says so, every process of their trees is gone and its ports are free."""
        member = self._member(step)
        self._must_be_out(step, member)
        name, _process = _adopt.running(self.wish, self.client, member.slot)
        halt = _halt.Halt(self.client, self.frame.clock, [name, *_workers.programs(self.wish, member.slot)], step.resume.get("pids", ()))
        limit = _workers.stop_timeout(self.wish, member.slot)
        end = self.frame.clock.now() - step.elapsed + limit + _halt.SPARE
        if not step.resume:
            halt.begin()
        while True:
            over = halt.is_over()
            busy = [port for port in member.ports.values() if _sockets.listener(port, member.address, frozenset()).owner != "none"]
            if over and not busy:
                return f"{len(halt.pids)} process{'es' if len(halt.pids) != 1 else ''} gone, port free"
            seen = "; ".join([*halt.words(), *self._holders(member)])
            if self.frame.clock.now() >= end:
                raise Failed(f"{name} stopped, all its processes gone and its port free within {limit} s", seen)
            self.frame.pause(f"{seen}, of {limit} s", pids=halt.pids)

    def _holders(self, member: Member) -> List[str]:
        found = [pid for port in member.ports.values() for pid in _sockets.listener(port, member.address, frozenset()).others]
        return [f"port held by {', '.join(map(_processes.describe, found))}"] if found else []

    def point(self, step: Step) -> str:
        """Make ``step.release`` the slot's current one; ``restore`` brings back the start it had before this swap."""
        member = self._member(step)
        place = _release.SlotPlace(self.wish.root, member.slot)
        before = place.current
        if _adopt.program_of(step.release):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{place.path}/current")
        elif step.restore:
            place.restore(step.release)
            if before != step.release:
                _files.link(step.release, f"{place.path}/current")
        else:
            place.point(step.release, with_waiting=not self.wish.rollback)
        return f"{before or 'nothing'} → {step.release}"

    def start(self, step: Step) -> str:
        """Put the program file in place if it changed, and start the program; :meth:`_check` waits for it."""
        member = self._member(step)
        self._must_be_out(step, member)
        for port in member.ports.values():
            found = _sockets.listener(port, member.address, frozenset())
            if found.owner != "none":
                who = ", ".join(map(_processes.describe, found.others)) or "a process that this user may not see"
                raise Failed(f"port {port} is free before the start", f"port {port} is held by {who}")
        if _adopt.program_of(step.release):
            self.client.start(_adopt.program_of(step.release))
            return f"{_adopt.program_of(step.release)}, which was there before"
        name = _program.program_name(self.wish.service, member.slot)
        path, kept = _observe_slot.program_path(self.wish, member.slot), self._kept_program(member)
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
        _workers.start(self.wish, self.client, member.slot, step.release, step.restore)
        return f"{name} with release {step.release}{', program file changed' if wanted != before else ''}"

    def _kept_program(self, member: Member) -> str:
        """Where the program file of before this swap waits for a put-back, until a release serves."""
        return f"{self.wish.root}/{member.slot}/.previous-program"

    def check(self, step: Step) -> str:
        """Wait until the member is what an enabled one must be: see :meth:`_look`, N times in a row, same process."""
        member = self._member(step)
        health = self._health(step, member)
        end = self.frame.clock.now() - step.elapsed + self.wish.boot_timeout
        streak, pid = step.resume.get("streak", 0), step.resume.get("pid", 0)
        delay = LOOK
        while True:
            wrong, now = self._look(step, member)
            streak = 0 if wrong or now != pid else streak
            pid = now
            if not wrong:
                streak += 1
                if streak >= health.successes:
                    wrong = self._not_yet_running(member, pid, step.release)
                    if not wrong:
                        if self.wish.others or self._serves(member):  # no balancer of this host enables it: from here on it is theirs
                            self.settle(step, member)
                        return f"{streak} × {_health.expectation(health).split(' within')[0]}"
            seen = wrong or f"{streak} of {health.successes} checks in a row"
            if self.frame.clock.now() >= end:
                raise Failed(f"{_health.expectation(health)}, within bluegreen_boot_timeout ({self.wish.boot_timeout:g} s)", seen)
            delay = health.interval if streak else min(delay * 1.5, max(health.interval, LOOK))
            self.frame.pause(f"{seen}, of {self.wish.boot_timeout:g} s", delay, streak=streak, pid=pid)

    def _serves(self, member: Member) -> bool:
        """Whether it took the release in place, and went on serving."""
        return self.wish.strategy == "reload" and member.id in _nginx.observe(self.wish).serving

    def _not_yet_running(self, member: Member, pid: int, release: str) -> str:
        process = self.client.process(_adopt.name(self.wish, member.slot, release))
        if process.state == "RUNNING" and process.pid == pid:
            waiting = _workers.not_yet_running(self.wish, self.client, member.slot, release)
            return f"healthy, and {waiting}" if waiting else ""
        return f"healthy, and supervisor says {process.state} (startsecs is {self.wish.program.start_seconds})"

    def _look(self, step: Step, member: Member) -> Tuple[str, int]:
        """(what is wrong or '', the process's pid). What can only get worse raises at once."""
        name = _adopt.name(self.wish, member.slot, step.release)
        process = self.client.process(name)
        if process.state in DEAD_STATES:
            raise Failed(f"{name} runs", f"supervisor says {process.state}: {process.problem or 'it ended'}")
        if not process.pid:
            return f"supervisor says {process.state}: {process.problem or 'no process'}", 0
        foreign = _adopt.program_of(step.release)
        release = step.release if foreign else _processes.running_release(process.pid, f"{self.wish.root}/{member.slot}")
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

    def _elsewhere(self, tree: FrozenSet[int], member: Member) -> str:
        ports = sorted(_sockets.listening_ports(tree) - set(member.ports.values()))
        return f"; its process listens on {', '.join(map(str, ports))}: does the command use $PORT?" if ports else ""

    def _health(self, step: Step, member: Member) -> Health:
        return _observe_slot.expectation(self.wish, member.slot, step.release)

    def _ask(self, step: Step, member: Member) -> Tuple[bool, str]:
        health = self._health(step, member)
        return _health.check(member.address, _health.port(member, health), health)

    def must_be_right(self, step: Step, member: Member) -> None:
        """:class:`Failed` unless the member is, at this moment, what an enabled one must be."""
        wrong, _pid = self._look(step, member)
        if wrong:
            raise Failed(_health.expectation(self._health(step, member)), wrong, member.id)

    def settle(self, step: Step, member: Member) -> None:
        """The release is good here; what was kept to go back to is no longer needed."""
        _release.SlotPlace(self.wish.root, member.slot).settle(step.release, _health.answer(self._health(step, member)))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._kept_program(member))
        _workers.settle(self.wish, member.slot)
        _release.remember(self.wish.root, slot=member.slot, release=step.release, result="put back" if step.restore else "good")
