# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's clock beside the controller's: how far they are apart, as far as that can be known from one call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event


def apart(before: float, seen: float, after: float) -> float:
    """By how many seconds at least a clock that showed ``seen`` between the two moments is ahead (or, below 0, behind)."""
    return max(seen - after, 0.0) + min(seen - before, 0.0)


def by_ours(events: Iterable[Event], ahead: float) -> tuple[Event, ...]:
    """The events of a host whose clock is so much ahead, as if the controller's clock had timed them."""
    return tuple(replace(event, start=event.start - ahead) for event in events)
