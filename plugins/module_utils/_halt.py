# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of supervisor's on their way to their end, and every process that was seen below them."""

from __future__ import annotations

import os
import time
from typing import Dict, List, Sequence, Tuple

from . import _processes
from ._frame import LOOK, Clock
from ._supervisor import Client, Process, waits_for_nothing

_SETTLE = 0.2  # seconds a process must be old before a signal is sure to reach it (it is lost before exec)
SPARE = 5.0  # seconds on top of stopwaitsecs: supervisor's own SIGKILL, and the kernel's cleaning up


class Halt:
    """The stop of one program or several. ``known``, as :attr:`pids` gave it, goes on with one that an earlier call began."""

    def __init__(self, client: Client, clock: Clock, names: Sequence[str], known: Sequence[Sequence[int]] = ()) -> None:
        self._client = client
        self._clock = clock
        self._seen: Dict[str, Process] = {name: client.process(name) for name in names}
        self._known: Dict[int, int] = {int(pid): int(start) for pid, start in known}
        self._left: Tuple[int, ...] = ()

    @property
    def pids(self) -> List[List[int]]:
        """(pid, start) of every process that must end, for JSON."""
        return [[pid, start] for pid, start in sorted(self._known.items())]

    def begin(self) -> None:
        """Remember all processes, then ask supervisor to stop the programs."""
        for process in self._seen.values():
            self.add(_processes.tree(process.pid))
        for name, process in self._seen.items():
            self._let_settle(process.pid)
            self._client.stop(name)

    def add(self, pids: Sequence[int] | frozenset[int]) -> None:
        """These must end as well."""
        self._known.update(_processes.identities(frozenset(pids)))

    def is_over(self) -> bool:
        """Whether supervisor runs none of them and every process is gone. What somebody, or autorestart, started again is stopped again."""
        self._seen = {name: self._client.process(name) for name in self._seen}
        self._left = _processes.alive(tuple(self._known.items()))
        for name, process in self._seen.items():
            if process.state == "RUNNING" and process.pid not in self._left:
                self.add(_processes.tree(process.pid))
                self._client.stop(name)
        return not self._left and all(map(waits_for_nothing, self._seen.values()))

    def words(self) -> List[str]:
        """What was seen last: supervisor's word, with the program's name where there are several, and who is still there."""
        several = len(self._seen) > 1
        states = [f"supervisor says {process.state}{f' of {name}' if several else ''}" for name, process in self._seen.items()]
        return [*states, *([f"still there: {', '.join(map(_processes.describe, self._left))}"] if self._left else [])]

    def _let_settle(self, pid: int) -> None:
        ticks = os.sysconf("SC_CLK_TCK")
        start = _processes.start_time(pid) if pid else 0
        while start and time.clock_gettime(time.CLOCK_BOOTTIME) - start / ticks < _SETTLE:
            self._clock.sleep(LOOK)
