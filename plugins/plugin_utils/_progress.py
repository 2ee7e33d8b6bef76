# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines on the terminal while a swap runs: plain text, one line as a step begins and one as it ends."""

from __future__ import annotations

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Step

_WHAT = {
    "declare": "declare a pool (one reload)",
    "switch": "switch the balancer away",
    "drain": "wait for its connections to end",
    "stop": "stop, and wait until processes and port are gone",
    "point": "point current to the release",
    "start": "start",
    "check": "check listener and health",
    "enable": "switch the balancer back in",
}


def begin(step: Step) -> str:
    """The line as a step begins, or goes on."""
    return f"{step.member}  {step.name:<8}{_WHAT[step.name]} …"


def line(item: Event | Step | str) -> str:
    """One line for whatever the runner tells."""
    if isinstance(item, str):
        return item
    if isinstance(item, Step):
        return begin(item)
    if item.outcome == "waiting":
        return f"{item.member}  {item.step:<8}waiting, {item.seconds:.0f} s: {item.detail}"
    words = {"ok": "done", "unchanged": "nothing to do", "overtime": "TIME OVER", "failed": "FAILED"}[item.outcome]
    return f"{item.member}  {item.step:<8}{words}, {item.seconds:.2f} s{': ' + item.detail if item.detail else ''}"


class Lines:
    """Turns what the runner tells into lines; a step's first line comes once, however many calls its wait takes."""

    def __init__(self) -> None:
        self._open = ""

    def __call__(self, item: Event | Step | str) -> list[str]:
        if isinstance(item, Step):
            if self._open == f"{item.member} {item.name}":
                return []
            self._open = f"{item.member} {item.name}"
            return [line(item)]
        if isinstance(item, Event):
            host, slot = item.member.split("/")
            first = [] if self._open == f"{item.member} {item.step}" else [begin(Step(item.step, host, slot))]
            self._open = f"{item.member} {item.step}" if item.outcome == "waiting" else ""
            return [*first, line(item)]
        return [item]
