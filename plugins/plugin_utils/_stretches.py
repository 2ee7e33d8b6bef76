# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A canary's latencies in stretches of time: what is slow lasts, while a process that stood still for a moment was slow only then. Pure.

Half a second of a garbage collector, twice in twenty seconds, is one answer in twenty: a p95. No test of all answers
together can tell that from a release that is slow, because those who had to wait were not dealt out one by one. And
the first answers of a new process, whose caches are empty, are no reason to take it back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._tally import upper

_ANSWERS = 50  # of a stretch at least: fewer differ by chance
_MOST = 64  # stretches
_LEFT_OUT = 3  # one in so many


class Stretches:
    """Look after look is added; a stretch ends when it has enough answers. When there are too many, two become one, and later ones are as long."""

    def __init__(self) -> None:
        self._whole: list[Counter[int]] = []
        self._open: Counter[int] = Counter()
        self._enough = _ANSWERS

    def add(self, times: Mapping[str, int]) -> None:
        """The answers of a look by bucket, as :class:`~_answers.Side` has them."""
        self._open.update({int(bucket): count for bucket, count in times.items()})
        if self._open.total() >= self._enough:
            self._whole.append(self._open)
            self._open = Counter()
        if len(self._whole) > _MOST:
            self._open = self._whole.pop()
            self._whole = [left + right for left, right in zip(self._whole[::2], self._whole[1::2], strict=True)]
            self._enough *= 2

    def without_the_slowest(self, limit: float, fewest: int) -> Mapping[int, int]:
        """All answers but those of the third of the stretches in which most took longer than ``limit`` seconds; none of fewer than ``fewest`` stretches."""
        if len(self._whole) < fewest:
            return {}

        def slow(stretch: Counter[int]) -> float:
            return sum(count for bucket, count in stretch.items() if upper(bucket) > limit) / stretch.total()

        left = sorted(self._whole, key=slow)[: len(self._whole) - len(self._whole) // _LEFT_OUT]
        return sum(left, Counter())
