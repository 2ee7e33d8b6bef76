# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Do steps on one host, in order, until one fails or a wait outlasts its slice; then look at the host again.

What the steps do is in ``_steps_balancer`` and ``_steps_member``. Each guards itself there, on the spot, whatever the
controller believed when it planned. Waits are predicates with a clock; a slice ends them early, so that the controller
can say how far they are and notice an interrupt, and ``resume`` carries on in the next call.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple, Union

from . import _account, _observe
from ._frame import Clock, Failed, Frame, attempt
from ._model import Event, Failure, Refusal, Step, Wish
from ._states import HostState

if TYPE_CHECKING:
    from ._steps_balancer import BalancerSteps
    from ._steps_jobs import JobSteps
    from ._steps_member import MemberSteps
    from ._supervisor import Client


@dataclass(frozen=True)
class Outcome:
    """What became of the steps: ``waiting`` is the step whose wait goes on, with ``resume`` and ``elapsed`` filled in.

    ``found`` is what a later step, by its name, begins with.
    """

    events: Tuple[Event, ...]
    state: HostState
    waiting: Optional[Step] = None
    failure: Optional[Failure] = None
    found: Dict[str, Dict[str, Any]] = field(default_factory=dict)


def run(wish: Wish, client: Optional[Client], steps: Sequence[Step], seconds: float = 2.0, clock: Optional[Clock] = None) -> Outcome:
    """Do ``steps``. A wait that is not over ``seconds`` after the call began is handed back to be resumed.

    ``client`` is supervisor's, where the host has members.
    """
    return _Walk(wish, client, clock or Clock(), seconds).run(steps)


# Each host loads what it is: a call's time is, for a quarter, Python reading our files anew.


def _member_steps(wish: Wish, client: Client, frame: Frame) -> MemberSteps:
    from ._steps_member import MemberSteps

    return MemberSteps(wish, client, frame)


def _balancer_steps(wish: Wish, members: Optional[MemberSteps], frame: Frame) -> BalancerSteps:
    from ._steps_balancer import BalancerSteps

    return BalancerSteps(wish, members, frame)


class _Walk:
    def __init__(self, wish: Wish, client: Optional[Client], clock: Clock, seconds: float) -> None:
        self.wish = wish
        self.client = client
        self.frame = Frame(clock, clock.now() + seconds)
        self.members = _member_steps(wish, client, self.frame) if client else None
        self.balancer = _balancer_steps(wish, self.members, self.frame) if wish.pool else None
        self.events: List[Event] = []

    def run(self, steps: Sequence[Step]) -> Outcome:
        waiting: Optional[Step] = None
        failure: Optional[Failure] = None
        done: _account.Done = []
        before = _account.now_in(self.wish) if steps else {}
        for step in steps:
            step = replace(step, resume={**step.resume, **self.frame.found.pop(step.name, {})})
            if self.events and self.frame.is_over():
                waiting = step  # not begun: what was done is told first
                break
            waiting, failure = self._do(step)
            done.append((step, self.events[-1]))
            if waiting or failure or self.events[-1].outcome == "vain":
                break
        if done:
            _account.note(self.wish, done, failure, before)
        return Outcome(tuple(self.events), _observe.host(self.wish, self.client, self.frame.clock.sleep), waiting, failure, self.frame.found)

    def _do(self, step: Step) -> Tuple[Optional[Step], Optional[Failure]]:
        event, waiting, error = attempt(step, self.wish.host, self.frame.clock, lambda now: self._method(now)(now))
        self.events += [Event("declare", step.member, "ok", event.start, 0.0, text, self.wish.host) for text in self.frame.reloads]
        self.frame.reloads.clear()
        self.events.append(event)
        if step.leaving and step.weight == 100 and event.outcome == "ok":
            self.events.append(Event("switch", ", ".join(step.leaving), "ok", event.start, event.seconds, "in the same moment", self.wish.host))
        return waiting, self._failure(step, error) if error else None

    def _method(self, step: Step):  # type: ignore[no-untyped-def]  # a step in, what there is to say out; None if there was nothing to do
        balances = step.name in ("declare", "switch", "drain", "enable", "shift", "smoke")
        place = self.balancer if balances else self._at_home(step)
        if place is None:
            raise Refusal(f"{self.wish.host} {'balances' if balances else 'runs'} no member; {step.name} of {step.member} cannot be done there.")
        if step.name == "reload" and self.members:
            from . import _steps_reload  # few services are reloaded

            return _steps_reload.ReloadSteps(self.members).reload
        return self.members.hook if step.hook and self.members else getattr(place, step.name)

    def _at_home(self, step: Step) -> Union[MemberSteps, JobSteps, None]:
        """Who does the step of a member, or of a single job, on its own host; None on one that runs no member."""
        if self.client is None or not step.of_job:
            return self.members
        from . import _steps_jobs  # most calls have none

        return _steps_jobs.JobSteps(self.wish, self.client, self.frame)

    def _failure(self, step: Step, error: Exception) -> Failure:
        """Whose fault it is: a member's, or, where a balancer refuses for itself, the host's."""
        own = len(step.members) == 1 and step.members[0].startswith(f"{self.wish.host}/")
        member = error.member if isinstance(error, Failed) and error.member else step.members[0] if own else ""
        expected = error.expected if isinstance(error, Failed) else f"step {step.name} of {step.member} can be done"
        place = self._at_home(step) if own else None
        log = place.note_failure(step, error) if place else []
        return Failure(member, step.name, expected, str(error), tuple(log), self.wish.host)
