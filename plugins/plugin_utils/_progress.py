# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines on the terminal while a swap runs: plain text, one line as a step begins and one as it ends."""

from __future__ import annotations

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Step

from ._result import Looked, Returned, Turn

_WHAT = {
    "declare": "declare a pool (one reload)",
    "switch": "switch the balancer away",
    "drain": "wait for its connections to end",
    "stop": "stop, and wait until processes and port are gone",
    "point": "point current to the release",
    "start": "start",
    "check": "check listener and health",
    "vouch": "say that nothing of it is here",
    "enable": "switch the balancer back in",
    "before_release": "the user's command",
    "migrate": "the user's command, once in the fleet",
    "migrate_down": "the user's command, once in the fleet",
    "before_stop": "the user's command: may it stop?",
    "after_start": "the user's command, before it serves",
    "after_enable": "the user's command, now that it serves",
    "after_release": "the user's command",
    "on_rollback": "the user's command",
}
_OF_JOB = {"stop": "stop, and wait until all its processes are gone", "check": "check that it runs"}


def _where(member: str, host: str) -> str:
    """The balancer's name, for a step that is not done on the member's own host."""
    return f" [{host}]" if host and not member.startswith(f"{host}/") else ""


def _name(step: str) -> str:
    return f"{step:<8}" if len(step) < 8 else f"{step} "


def begin(step: Step) -> str:
    """The line as a step begins, or goes on."""
    what = _OF_JOB.get(step.name, _WHAT[step.name]) if step.of_job else _WHAT[step.name]
    return f"{step.member or step.host}  {_name(step.name)}{what} …{_where(step.member, step.host) if step.member else ''}"


def line(item: Event | Step | Turn | str) -> str:
    """One line for whatever the runner tells."""
    if isinstance(item, str):
        return item
    if isinstance(item, Turn):
        return f"batch {item.number} of {item.of}: {', '.join(item.members)}"
    if isinstance(item, Step):
        return begin(item)
    who, where = item.member or item.host, _where(item.member, item.host) if item.member else ""
    if item.outcome == "waiting":
        return f"{who}  {_name(item.step)}waiting, {item.seconds:.0f} s: {item.detail}{where}"
    words = {"ok": "done", "unchanged": "nothing to do", "overtime": "TIME OVER", "failed": "FAILED"}[item.outcome]
    return f"{who}  {_name(item.step)}{words}, {item.seconds:.2f} s{': ' + item.detail if item.detail else ''}{where}"


class Lines:
    """Turns what the runner tells into lines; a step's first line comes once, however many calls its wait takes."""

    def __init__(self) -> None:
        self._open: set[tuple[str, str, str]] = set()

    def __call__(self, item: Event | Step | Turn | Looked | Returned | Failure | str) -> list[str]:
        if isinstance(item, (Failure, Looked, Returned)):
            return []  # the message at the end tells them
        if isinstance(item, (str, Turn)):
            return [line(item)]
        if isinstance(item, Step):
            key = (item.host, item.member, item.name)
            first = [] if key in self._open else [line(item)]
            self._open.add(key)
            return first
        key = (item.host, item.member, item.step)
        first = [] if key in self._open else [begin(Step(item.step, item.host, (item.member,) if item.member else ()))]
        (self._open.add if item.outcome == "waiting" else self._open.discard)(key)
        return [*first, line(item)]
