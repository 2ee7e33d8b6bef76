# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks at the probe and at the hosts while a swap goes on, for the runner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import HostState, Wish

from . import _judgement
from ._judgement import Crossing, Limits


class Probe(Protocol):
    """A probe that is running."""

    def seen(self) -> Mapping[str, Any]:
        """Its result so far."""


@dataclass(frozen=True)
class Watching:
    """The limits of a run, and what they are held against."""

    limits: Limits
    probe: Probe | None = None

    @property
    def seconds(self) -> float:
        return self.limits.seconds

    def crossed(self, states: Mapping[str, HostState], began: float, entered: float) -> list[Crossing]:
        """The limits that are crossed now, those of hosts first: they say where."""
        found = _judgement.of_hosts(states)
        if self.probe and self.limits.of_probe:
            found += _judgement.crossed(self.limits, self.probe.seen(), began, entered)
        return found


def of(limits: Limits, wishes: Sequence[Wish], probe: Probe | None) -> Watching | None:
    """What watches this run, None where nothing is limited and no batch is to be watched."""
    wanted = limits.seconds or (limits.of_probe and probe) or any(wish.limits.any for wish in wishes)
    return Watching(limits, probe) if wanted else None
