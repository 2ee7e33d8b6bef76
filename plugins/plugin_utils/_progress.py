# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines on the terminal while a swap runs: plain text, the same on a terminal, in AWX and in a CI's log.

A line for each step as it ends, one now and then while it waits, and one for each batch that is through. With ``-v``
also one as a step begins. Pure but for the clock, which tests bring along.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ansible import constants as C
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Step

from ._plain import columns, span
from ._result import Looked, Returned, Turn, members

_WHAT = {
    "declare": "declare a pool (one reload)",
    "switch": "switch the balancer away",
    "goodbye": "let the application tell its clients to leave",
    "drain": "wait for its connections to end",
    "stop": "stop, and wait until processes and port are gone",
    "point": "point current to the release",
    "start": "start",
    "reload": "signal it to take the release, until its answers show it",
    "check": "check listener and health",
    "vouch": "say that nothing of it is here",
    "enable": "switch the balancer back in",
    "smoke": "ask it what the user wants to know of it",
    "shift": "let the balancer give it requests",
    "before_release": "the user's command",
    "migrate": "the user's command, once in the fleet",
    "migrate_down": "the user's command, once in the fleet",
    "before_stop": "the user's command: may it stop?",
    "after_start": "the user's command, before it serves",
    "after_enable": "the user's command, now that it serves",
    "after_release": "the user's command",
    "on_rollback": "the user's command",
    "files": "bring configs and secrets",
    "update": "let the engine replace the replicas",
    "undo": "let the engine go back",
    "workers": "bring workers and cron jobs to the release",
    "prune": "remove what no release needs any more",
}
_OF_JOB = {"stop": "stop, and wait until all its processes are gone", "check": "check that it runs"}
_ENDED = {
    "ok": ("done", ""),
    "unchanged": ("nothing to do", ""),
    "overtime": ("TIME OVER", C.COLOR_WARN),
    "vain": ("IN VAIN", C.COLOR_WARN),
    "failed": ("FAILED", C.COLOR_ERROR),
}
_NOT_TOLD = ("NOT TOLD", C.COLOR_WARN)
_NEWS = 2.0  # seconds of silence after which a wait that has something new to say is heard
_SIGN = 10.0  # and after which it is heard though it has not
_NAMED = 4  # members that a line names


@dataclass(frozen=True)
class Line:
    """A line, the ``-v`` it takes to be seen, and Ansible's colour for it, '' for none."""

    text: str
    level: int = 0
    color: str = ""


def _where(member: str, host: str) -> str:
    """The balancer's name, for a step that is not done on the member's own host."""
    return f" [{host}]" if host and not member.startswith(f"{host}/") else ""


def _name(step: str) -> str:
    return f"{step:<8}" if len(step) < 8 else f"{step} "


def begin(step: Step) -> str:
    """The line as a step begins, or goes on."""
    what = _OF_JOB.get(step.name, _WHAT[step.name]) if step.of_job else _WHAT[step.name]
    return f"{step.member or step.host}  {_name(step.name)}{what} …{_where(step.member, step.host) if step.member else ''}"


def end(event: Event) -> Line:
    """The line as a step ends, or waits."""
    who, where = some(event.member.split(", ")) or event.host, _where(event.member, event.host) if event.member else ""
    if event.outcome == "waiting":
        return Line(f"{who}  {_name(event.step)}waiting, {event.seconds:.0f} s: {event.detail}{where}")
    words, color = _NOT_TOLD if (event.step, event.outcome) == ("goodbye", "overtime") else _ENDED[event.outcome]
    return Line(f"{who}  {_name(event.step)}{words}, {event.seconds:.2f} s{': ' + event.detail if event.detail else ''}{where}", color=color)


def some(members: Sequence[str]) -> str:
    """Members in a line."""
    rest = len(members) - _NAMED
    return ", ".join(members) if rest <= 1 else f"{', '.join(members[:_NAMED])} and {rest} more"


def _about(seconds: float) -> str:
    """An estimate, no more exact than it is."""
    return span(max(10.0, 5 * round(seconds / 5))) if seconds >= 10 else f"{max(1, round(seconds))} s"


@dataclass
class _Batch:
    """A batch on its way: the steps that it still needs, by name and members, each as often as there are balancers to do it."""

    turn: Turn
    began: float
    left: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.left.update((step.name, step.member) for step in self.turn.steps if step.name != "declare")

    def is_through(self, event: Event) -> bool:
        """Whether this was its last step."""
        key = (event.step, event.member)
        if event.outcome in ("waiting", "failed") or key not in self.left:
            return False
        self.left[key] -= 1
        self.left += Counter()  # forgets what is down to nothing
        return not self.left


class Lines:
    """Turns what the runner tells into lines. ``planned``: nothing is done, so what would begin is all there is to see."""

    def __init__(self, planned: bool = False, now: Callable[[], float] = time.monotonic) -> None:
        self._planned = planned
        self._now = now
        self._open: dict[tuple[str, str, str], str | None] = {}  # the steps that have begun, and what they waited for when they were heard last
        self._heard = now()
        self._began: float | None = None  # when the first batch did
        self._batches: list[_Batch] = []

    def __call__(self, item: Event | Step | Turn | Looked | Returned | Failure | str) -> list[Line]:
        lines = self._of(item)
        if any(line.level == 0 for line in lines):
            self._heard = self._now()
        return lines

    def _of(self, item: Event | Step | Turn | Looked | Returned | Failure | str) -> list[Line]:
        if isinstance(item, str):
            return [Line(item)]
        if isinstance(item, Step):
            return self._begin(item)
        if isinstance(item, Event):
            return self._event(item)
        if isinstance(item, Turn):
            return self._turn(item)
        if isinstance(item, Looked):
            return self._looked(item)
        if isinstance(item, Failure) and item.step == "watch":  # no step of its own has said so
            return [Line(f"{item.member or item.host}  {_name(item.step)}FAILED: expected: {item.expected}; seen: {item.seen}", color=C.COLOR_ERROR)]
        return []  # the message at the end tells them

    def _begin(self, step: Step) -> list[Line]:
        """A step's first line comes once, however many calls its wait takes."""
        key = (step.host, step.member, step.name)
        if key in self._open:
            return []
        self._open[key] = None
        return [Line(begin(step), 0 if self._planned else 1)]

    def _event(self, event: Event) -> list[Line]:
        key = (event.host, event.member, event.step)
        first = self._begin(Step(event.step, event.host, tuple(event.member.split(", ")) if event.member else ()))
        if event.outcome == "waiting":
            silence = self._now() - self._heard
            due = self._open[key] is None or silence >= (_SIGN if self._open[key] == event.detail else _NEWS)
            if due:
                self._open[key] = event.detail
            return [*first, *([end(event)] if due else [])]
        del self._open[key]
        through = [batch for batch in self._batches if batch.is_through(event)]
        self._batches = [batch for batch in self._batches if batch not in through]
        return [*first, end(event), *map(self._summary, through)]

    def _turn(self, turn: Turn) -> list[Line]:
        now = self._now()
        self._began = now if self._began is None else self._began
        self._batches.append(_Batch(turn, now))
        names = ", ".join(dict.fromkeys(step.name for step in turn.steps))
        return [Line(f"batch {turn.number} of {turn.of} begins: {', '.join(turn.members)}: {names}", 1)]

    def _looked(self, item: Looked) -> list[Line]:
        """Why the walk goes as it goes: how its members were seen before it. How they are after it is the table's to say."""
        if item.when != "before":
            return []
        head = ("at the beginning:", "RUNS", "STATE", "SERVED BY")
        rows = [
            (
                f"  {name}",
                seen["release"] or "nothing",
                f"{seen['state']}, {'healthy' if seen['healthy'] else 'not healthy'}",
                ", ".join(seen["balancers"]) or "-",
            )
            for name, seen in members(item.states).items()
        ]
        return [Line(text, 1) for text in columns([head, *rows])]

    def _summary(self, batch: _Batch) -> Line:
        """A batch that is through, and how long those that are left may take if they are as long as those before."""
        turn, now = batch.turn, self._now()
        release = next((step.release for step in turn.steps if step.release), "")
        text = f"batch {turn.number} of {turn.of}: {some(turn.members)}{f' on {release}' if release else ''} in {span(now - batch.began)}"
        left = turn.of - turn.number
        if left > 0:
            each = (now - (self._began or batch.began)) / turn.number
            text += f"; {left} batch{'es' if left > 1 else ''} left, about {_about(each * left)}"
        return Line(text, color=C.COLOR_CHANGED)
