# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When it is time to act on changes: once they have been quiet for a moment, and at the latest after a bound. Pure."""

from __future__ import annotations

from typing import Optional


class Quiet:
    """``quiet`` seconds without a change, or ``longest`` seconds after the first one."""

    def __init__(self, quiet: float, longest: float) -> None:
        self._quiet, self._longest = quiet, max(quiet, longest)
        self._first: Optional[float] = None
        self._last = 0.0

    def note(self, now: float) -> None:
        """Something changed."""
        self._first = now if self._first is None else self._first
        self._last = now

    def due(self, now: float) -> bool:
        """Whether it is time. It then begins anew."""
        if self._first is None or (now - self._last < self._quiet and now - self._first < self._longest):
            return False
        self._first = None
        return True
