# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step of a member that takes a release in place: it serves on, so nothing is believed that was not seen.

A signal that is not caught ends a process, workers that are new may run old code, and one that hangs keeps the old
release answering. What is not proven in time is in vain, which is no failure: the member is swapped then.
"""

from __future__ import annotations

from typing import List

from . import _adopt, _processes, _reload
from ._frame import LOOK, Vain
from ._model import Step
from ._parts import Member
from ._steps_member import MemberSteps

_EACH = 3  # answers for each worker: with new connections each of them has most likely given one
_MOST = 60
_WRONG = 3  # answers of new workers alone that show another release, or none, in a row: waiting does not mend that


class ReloadSteps:
    """The step, with the means of the other ones."""

    def __init__(self, members: MemberSteps) -> None:
        self._wish = members.wish
        self._client = members.client
        self._frame = members.frame

    def reload(self, step: Step) -> str:
        """Signal the program's own process, wait until other workers do the work, and until N answers in a row show the release."""
        member = self._wish.member(step.slot)
        try:
            return self._take(step, member)
        except Vain as why:
            _reload.note_vain(self._wish, member.slot, step.release, str(why))
            raise

    def _take(self, step: Step, member: Member) -> str:
        wanted = self._wish.reload
        name, process = _adopt.running(self._wish, self._client, member.slot)
        pid, start = step.resume.get("process") or (process.pid, _processes.start_time(process.pid))
        old = tuple((one, began) for one, began in step.resume.get("old", ()))
        since = step.resume.get("since", _processes.ticks())
        if not step.resume:
            if not _reload.catches(pid, wanted.signal):
                raise Vain(f"its process (pid {pid}) does not catch {wanted.signal}")
            old = _reload.workers(pid, member)
            self._client.signal(name, wanted.signal)
        right, wrong = step.resume.get("right", 0), step.resume.get("wrong", 0)
        end = self._frame.clock.now() - step.elapsed + wanted.timeout
        while True:
            if _processes.start_time(pid) != start:
                raise Vain(f"{wanted.signal} ended its process (pid {pid})")
            left = _processes.alive(old)
            new = [one for one, _began in _reload.workers(pid, member) if one not in dict(old)]
            if left or (old and not new):
                seen = f"{len(left)} of {len(old)} workers from before are there" if left else "no new worker is there yet"
            else:
                shown = _reload.shown(self._wish, member)
                right, wrong = (right + 1, 0) if shown == step.release else (0, wrong + (shown is not None))  # it may still boot
                seen = f"its answers show {f'release {shown}' if shown else 'no release'}" if shown is not None else "there is no answer"
                needed = self._needed(new)
                if right >= needed:
                    _reload.note_taken(self._wish, member.slot, pid, step.release, since)
                    return f"{self._replaced(old, new)}{needed} answers in a row show {step.release}"
                if old and wrong >= _WRONG:
                    raise Vain(f"all {len(old)} workers are new and {seen}: is code loaded before they fork, or from another place than BLUEGREEN_CURRENT?")
            if self._frame.clock.now() >= end:
                raise Vain(f"{seen} {wanted.timeout:g} s after {wanted.signal} (bluegreen_reload_timeout)")
            known = {"process": (pid, start), "since": since, "old": old, "right": right, "wrong": wrong}
            self._frame.pause(f"{seen}, of {wanted.timeout:g} s", LOOK if right else 5 * LOOK, **known)

    def _needed(self, new: List[int]) -> int:
        return min(_MOST, max(self._wish.health.successes, _EACH * len(new)))

    def _replaced(self, old: _reload.Identities, new: List[int]) -> str:
        return f"{len(old)} worker{'s' if len(old) != 1 else ''} replaced by {len(new)}, " if old else ""
