# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of a canary while it lasts: whether to stay, to go on, or to go back. It is told what was seen, and when. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._answers import NEW, OLD, Side
from ansible_collections.hotswap.bluegreen.plugins.module_utils._orders import Order

from . import _canary
from ._canary import Judgement, Opinion
from ._canary_rules import Canary, Weight
from ._plain import span
from ._stretches import Stretches

BY_HAND = "waits for hotswap.bluegreen.promote or hotswap.bluegreen.abort"


@dataclass(frozen=True)
class Going:
    """The step lasts; ``line`` says how long still, and what was seen, ``why`` what it waits for, in words that stay the same."""

    line: str
    why: str = ""


@dataclass(frozen=True)
class Next:
    """On to the next step or, with ``to_all``, to the end. ``warning`` says what was not judged."""

    why: str
    to_all: bool = False
    warning: str = ""


@dataclass(frozen=True)
class Worse:
    """The canary is worse, ``expected`` and ``seen`` say how: its weight goes to 0 at once."""

    expected: str
    seen: str


@dataclass(frozen=True)
class Stop:
    """The canary ends without a judgement against it: a person said so, or there was nothing to judge by."""

    expected: str
    seen: str


Decision = Going | Next | Worse | Stop


class Pause:
    """One step, from the moment ``began`` at which it was made; moments in seconds, of any one clock."""

    def __init__(self, step: Weight, canary: Canary, began: float) -> None:
        self.step = step
        self._canary = canary
        self._began = began
        self._sums = {NEW: Side(), OLD: Side()}
        self._stretches = Stretches()
        self._looks = 0  # judgements so far
        self._next = step.requests  # answers of either side that the next one needs

    def look(self, answers: Iterable[Mapping[str, Side]], now: float, order: Order | None = None, opinions: Sequence[Opinion] = ()) -> Decision:
        """What to do now. ``answers`` are those that each balancer has had since the last look."""
        for sides in answers:
            for side in (NEW, OLD):
                self._sums[side] += sides.get(side, Side())
            self._stretches.add(sides.get(NEW, Side()).times)
        if order and order.order == "abort":
            return Stop("the canary to go on", f"{_lock.who(order.by)} ended it: {order.reason}")
        over = now - self._began >= self.step.seconds
        worse = self._judged(over) or _outvoted(opinions)
        if worse:
            return worse
        if order:
            why = f"{_lock.who(order.by)} promoted it{f': {order.reason}' if order.reason else ''}"
            return Next(f"{why}; {self._figures()}", order.to == "all")
        return self._over(opinions) if over else self._going("", f"{span(self.step.seconds - (now - self._began))} left")

    def _over(self, opinions: Sequence[Opinion]) -> Decision:
        """The step's time is over, and nobody says that it is worse."""
        if self.step.by_hand:
            return self._going(BY_HAND)
        if self._fewest < self.step.requests:
            return self._no_traffic()
        waiting = [opinion.judge for opinion in opinions if opinion.verdict == "pending"]
        if waiting:
            return self._going(f"waits for {', '.join(waiting)}")
        return Next(self._figures())

    def _no_traffic(self) -> Decision:
        seen = f"{self._sums[NEW].answers:,} answers, stable {self._sums[OLD].answers:,}, in {span(self.step.seconds)}"
        if not any(side.answers for side in self._sums.values()):
            seen += "; no balancer has written a line to its canary.log: nobody asked, or a location of yours that does not include ours answered"
        if self._canary.no_traffic == "wait":
            return self._going("waits for answers to judge by (bluegreen_canary_no_traffic)")
        if self._canary.no_traffic == "go_on":
            return Next(seen, warning=f"the canary at {self.step.percent:g} % was not judged: {seen} (bluegreen_canary_no_traffic is go_on)")
        return Stop(f"{self.step.requests:,} answers of each release to judge by (bluegreen_canary_requests; see bluegreen_canary_no_traffic)", seen)

    @property
    def _fewest(self) -> int:
        return min(side.answers for side in self._sums.values())

    def _judged(self, over: bool) -> Worse | None:
        """What a judgement says against it, if one is due; the last one of a step that ends by itself always is."""
        last = over and not self.step.by_hand and self._fewest >= self.step.requests
        if not last and self._fewest < self._next:
            return None
        self._looks += 1
        self._next = _canary.next_look(self._fewest)
        found = self._judge(self._looks)
        return Worse(found.expected, found.seen) if found.verdict == "worse" else None

    def _figures(self) -> str:
        return self._judge(max(1, self._looks)).figures

    def _judge(self, look: int) -> Judgement:
        return _canary.judge(self._sums[NEW], self._sums[OLD], self._stretches, self._canary, self.step.requests, look)

    def _going(self, why: str, left: str = "") -> Going:
        return Going(f"canary at {self.step.percent:g} %: {why or left}; {self._figures()}", why)


def _outvoted(opinions: Sequence[Opinion]) -> Worse | None:
    """What another judge says against it."""
    bad = [opinion for opinion in opinions if opinion.verdict == "worse"]
    return Worse(f"{bad[0].judge} finds the canary good", "; ".join(opinion.words for opinion in bad)) if bad else None
