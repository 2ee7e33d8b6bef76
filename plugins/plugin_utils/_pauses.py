# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Between two steps of a flip: the run waits, looks at what both releases answer, and hears what a person or a judge says."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._answers import Side
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Failure
from ansible_collections.hotswap.bluegreen.plugins.module_utils._orders import Order

from . import _flip
from ._canary import Opinion
from ._canary_rules import Canary
from ._lookout import Lookout
from ._pause import Decision, Going, Next, Pause, Stop, Worse
from ._plain import span
from ._rounds import Batch
from ._walk import Walk

_LOOK, _LONGEST = 1.0, 5.0  # seconds between two looks: a look costs every balancer a third of a second of a core, and a canary may last for days
_TELL = 10.0  # seconds between two lines that say how it stands


class Ears(Protocol):
    """Who hears what a person says to the run."""

    def signs(self) -> Order | None:
        """An order that was not obeyed yet."""

    def obeyed(self, order: Order) -> None:
        """Take it away."""


class Judges(Protocol):
    """Others who judge a canary."""

    def begin(self, percent: float) -> None:
        """A step begins."""

    def opinions(self) -> Sequence[Opinion]:
        """What each said last."""


@dataclass(frozen=True)
class Terms:
    """How a run waits between its steps: ``keep_old`` in seconds once all requests go to the new release."""

    canary: Canary = field(default_factory=Canary)
    keep_old: float = 0.0
    ears: Ears | None = None
    judges: Judges | None = None
    warn: Callable[[str], Any] = lambda _text: None


class Pauses:
    """The waits of one run. ``to_all``: a person has said that no further weight is to be tried."""

    def __init__(self, walk: Walk, lookout: Lookout, terms: Terms) -> None:
        self._walk = walk
        self._lookout = lookout
        self._terms = terms
        self._told = ("", 0.0)
        self.to_all = False

    def after(self, batch: Batch) -> bool:
        """Wait for as long as the step lasts; whether it ended badly: it has been noted then."""
        self._tell_spread(batch)
        step = next((one for one in self._terms.canary.steps if one.percent == batch.weight), None)
        if step:
            if self._terms.judges:
                self._terms.judges.begin(step.percent)
            return self._wait(batch, Pause(step, self._terms.canary, time.monotonic()).look)
        return batch.weight == _flip.ALL and self._terms.keep_old > 0 and self._wait(batch, _Warm(self._terms.keep_old).look)

    def _tell_spread(self, batch: Batch) -> None:
        """How far apart the balancers' switches of all requests were."""
        if batch.weight == _flip.ALL and len(batch.enter) > 1:
            ends = [event.start + event.seconds for event in self._walk.result.events if event.step == "shift"][-len(batch.enter) :]
            self._walk.tell(f"{len(ends)} balancers switched within {max(ends) - min(ends):.2f} s")

    def _wait(self, batch: Batch, look: Callable[..., Decision]) -> bool:
        opinions: Sequence[Opinion] = ()
        began = time.monotonic()
        while True:
            self._walk.proceed()
            self._walk.look_again(batch.enter)
            if self._walk.result.lost or self._lookout.crossed(batch.members):
                return True
            order = self._terms.ears.signs() if self._terms.ears else None
            if self._terms.judges and batch.weight != _flip.ALL:
                opinions = self._terms.judges.opinions()
            decision = look(self._answers(batch), time.monotonic(), order, opinions)
            if order and self._terms.ears and not isinstance(decision, Going):
                self._terms.ears.obeyed(order)
            if isinstance(decision, Going):
                self._tell(decision)
                time.sleep(pace(time.monotonic() - began))
                continue
            return self._ended(batch, decision)

    def _answers(self, batch: Batch) -> list[dict[str, Side]]:
        """What each balancer's clients were answered since the last look."""
        states = self._walk.result.states
        return [{name: Side(**side) for name, side in states[host].answers.items()} for host in batch.enter if host in states]

    def _ended(self, batch: Batch, decision: Next | Worse | Stop) -> bool:
        if isinstance(decision, Next):
            self._walk.tell(f"{_share(batch)}: {decision.why}")
            self.to_all = self.to_all or decision.to_all
            if decision.warning:
                self._terms.warn(decision.warning)
            return False
        host = batch.members[0].partition("/")[0]
        self._walk.fail(Failure(batch.members[0] if len(batch.members) == 1 else "", "judge", decision.expected, decision.seen, (), host))
        return True

    def _tell(self, going: Going) -> None:
        now = time.monotonic()
        if self._told[0] != going.why or now - self._told[1] >= _TELL:
            self._told = (going.why, now)
            self._walk.tell(going.line)


def pace(elapsed: float) -> float:
    """Seconds until the next look at a step that has lasted so long."""
    return min(max(_LOOK, elapsed / 30), _LONGEST)


class _Warm:
    """All requests go to the new release, and the old one waits."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def look(self, _answers: object, now: float, order: Order | None = None, _opinions: object = ()) -> Decision:
        if order and order.order == "abort":
            return Stop("the release to stay", f"{_lock.who(order.by)} ended it: {order.reason}")
        if order:
            return Next(f"{_lock.who(order.by)} ended the wait")
        left = self._end - now
        return Going(f"the old release stays warm: {span(left)} left (bluegreen_keep_old)") if left > 0 else Next(f"watched for {span(self._seconds)}")


def _share(batch: Batch) -> str:
    return "all requests" if batch.weight == _flip.ALL else f"{batch.weight:g} % of the requests"
