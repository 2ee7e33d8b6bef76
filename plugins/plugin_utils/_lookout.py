# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What clients and hosts show while a run goes on: a limit that is crossed is the fault of the members that were swapped last."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Protocol

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Failure
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from ._judgement import Crossing
from ._walk import Walk

_LOOK = 0.5  # seconds between two looks at what the clients show
_LONG = 2.0  # seconds of watching that are worth a line


class Watch(Protocol):
    """What looks at clients and hosts while a swap goes on. Each batch is watched for ``seconds`` once it serves."""

    seconds: float

    def crossed(self, states: Mapping[str, HostState], began: float, entered: float) -> list[Crossing]:
        """The limits that are crossed in a swap that began, and whose latest batch serves, since these moments (epoch seconds; 0: none serves)."""


class Lookout:
    """Looks between the rounds of one run; without a ``watch`` there is nothing to see."""

    def __init__(self, walk: Walk, watch: Watch | None) -> None:
        self._walk = walk
        self._watch = watch
        self._began = time.time()
        self._entered = 0.0  # since when the latest batch serves
        self.latest: tuple[str, ...] = ()  # that batch

    @property
    def watches(self) -> bool:
        return self._watch is not None

    def look_after(self, members: Sequence[str]) -> bool:
        """Watch the batch that serves now for its time; whether a limit was crossed, or a host was lost."""
        if self._watch is None:
            raise AssertionError
        self.latest, self._entered = tuple(members), time.time()
        if self._watch.seconds >= _LONG:
            self._walk.tell(f"{', '.join(members)}: watched for {self._watch.seconds:g} s")
        end = time.monotonic() + self._watch.seconds
        while not self.crossed(members):
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._walk.proceed()
            time.sleep(min(left, _LOOK))
            if left <= _LOOK:  # the hosts are asked once, at the end of the time
                limited = (host for host in dict.fromkeys(member.partition("/")[0] for member in members) if self._walk.wishes[host].limits.any)
                self._walk.look_again(limited)
                if self._walk.result.lost:
                    break
        return True

    def _at_fault(self, members: Sequence[str]) -> list[str]:
        """Who of this run may have shown it: a standby answers, and is seen to, only while its host's primary is out."""
        latest = [member for member in members if member in self._walk.worked_on] or list(self.latest)
        hosts = {member.partition("/")[0] for member in latest}
        standbys = [member for member in self._walk.result.swapped if member in self._walk.worked_on and self._is_standby(member) and member not in latest]
        return [*(member for member in standbys if member.partition("/")[0] in hosts), *latest]

    def _is_standby(self, member: str) -> bool:
        host, _slash, slot = member.partition("/")
        return self._walk.wishes[host].member(slot).backup

    def crossed(self, members: Sequence[str]) -> bool:
        """Whether a limit is crossed; those of ``members`` that this run has worked on have failed then, else the batch before."""
        found = self._watch.crossed(self._walk.result.states, self._began, self._entered) if self._watch else []
        for crossing in found[:1]:
            for member in self._at_fault(members) or ("",):
                self._walk.fail(Failure(member, "watch", crossing.expected, crossing.seen, (), crossing.host or member.partition("/")[0]))
        return bool(found)
