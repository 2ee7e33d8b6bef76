# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks at the probe and at the hosts while a swap goes on, for the runner."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState

from . import _judgement
from ._judgement import Crossing, Limits
from ._walk import Lost

_PATIENCE = 15.0  # seconds for the probe's account of the time before
_LOOK = 0.2  # seconds between two looks at it


class Probe(Protocol):
    """A probe that is running."""

    def seen(self) -> Mapping[str, Any]:
        """Its result so far."""


@dataclass(frozen=True)
class Watching:
    """The limits of a run, and what they are held against."""

    limits: Limits
    probe: Probe | None
    warn: Callable[[str], Any]
    silent: list[str] = field(default_factory=list)  # why the probe could not be asked, the first time

    @property
    def seconds(self) -> float:
        return self.limits.seconds

    def prepare(self, tell: Callable[[str], Any], proceed: Callable[[], None]) -> None:
        """Wait until the probe knows how fast answers are before the swap, where that matters, and not for ever."""
        if not self.probe or not self.limits.slowdown:
            return
        end, told = time.monotonic() + _PATIENCE, False
        while not _judgement.knows_before(self.probe.seen(), time.time()):
            if time.monotonic() > end:
                self.warn(f"the probe has too few answers of the time before the swap, after {_PATIENCE:g} s: bluegreen_max_slowdown is not judged")
                return
            if not told:
                tell("the probe counts for some seconds how fast answers are before the swap (bluegreen_max_slowdown)")
                told = True
            proceed()
            time.sleep(_LOOK)

    def crossed(self, states: Mapping[str, HostState], began: float, entered: float) -> list[Crossing]:
        """The limits that are crossed now, those of hosts first: they say where."""
        found = _judgement.of_hosts(states)
        if self.probe and self.limits.of_probe:
            try:
                found += _judgement.crossed(self.limits, self.probe.seen(), began, entered)
            except (Lost, Refusal) as error:  # whoever cannot be asked says nothing against the release
                if not self.silent:
                    self.warn(f"the probe cannot be asked, so its limits are not judged: {error}")
                    self.silent.append(str(error))
        return found


def of(limits: Limits, wishes: Sequence[Wish], probe: Probe | None, warn: Callable[[str], Any]) -> Watching | None:
    """What watches this run, None where nothing is limited and no batch is to be watched."""
    wanted = limits.seconds or (limits.of_probe and probe) or any(wish.limits.any for wish in wishes)
    return Watching(limits, probe, warn) if wanted else None
