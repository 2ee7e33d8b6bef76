# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a run to people who do not look at its terminal: when, and in which words. Pure."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ._notify_rules import FAILURE, ROLLBACK, START, SUCCESS
from ._plain import plain, span

_NAMED = 4  # hosts that a sentence names
_LONGEST = 500  # characters of a failure


@dataclass(frozen=True)
class Ended:
    """How a run ended: ``reached`` its end or not, ``failed`` texts by host, the releases of hosts whose members went ``back``."""

    reached: bool
    changed: bool
    failed: Mapping[str, str]
    back: Mapping[str, str]


@dataclass(frozen=True)
class Message:
    """What is told. ``occasions`` are the words of ``on`` that it answers to, the first one is what it is mainly about.

    ``way`` is release or rollback, ``result`` begun, released, failed, rolled back or cut off; ``seconds`` is None where
    nobody knows when the run began, ``failure`` and ``report`` are '' without one.
    """

    occasions: tuple[str, ...]
    service: str
    release: str
    way: str
    result: str
    who: str
    hosts: tuple[str, ...]
    members: int
    at: float
    seconds: float | None = None
    failure: str = ""
    back: tuple[str, ...] = ()
    report: str = ""

    @property
    def sentence(self) -> str:
        """What happened."""
        about = f"Release {self.release} of {self.service}" if self.way == "release" else f"The rollback of {self.service} to release {self.release}"
        took = f" after {span(self.seconds)}" if self.seconds is not None else ""
        if self.result == "begun":
            return f"{about} begins on {some(self.hosts)}."
        if self.result in ("released", "rolled back"):
            went = f"Release {self.release} of {self.service} serves" if self.way == "release" else f"{self.service} is back on release {self.release}"
            count = f"{self.members} member{'s' if self.members != 1 else ''} of {some(self.hosts)}"
            return f"{went} on {count}{took}."
        word = "was cut off" if self.result == "cut off" else "failed"
        back = f" Back to what they had: {', '.join(self.back)}." if self.back else ""
        return f"{about} {word}{took}: {self.failure.rstrip('.')}.{back}"

    @property
    def text(self) -> str:
        """All of it, in lines."""
        return "\n".join([self.sentence, f"By {self.who}.", *([f"Report: {self.report}"] if self.report else [])])

    @property
    def title(self) -> str:
        """A few words."""
        return f"{self.service} {self.release}: {self.result}"

    def words(self, template: str) -> str:
        """The text, or what the user's template makes of it."""
        if not template:
            return self.text
        took = "" if self.seconds is None else span(self.seconds)
        known = {
            "text": self.text,
            "who": self.who,
            "took": took,
            **{name: getattr(self, name) for name in ("service", "release", "result", "failure", "report")},
        }
        return string.Template(template).safe_substitute(known)

    def data(self) -> dict[str, Any]:
        """All that is known, for programs. Times are epoch seconds."""
        return {
            "schema": 1,
            "event": self.occasions[0],
            "occasions": list(self.occasions),
            **{name: getattr(self, name) for name in ("service", "release", "way", "result", "who", "members", "at", "seconds", "failure", "report")},
            "hosts": list(self.hosts),
            "back": list(self.back),
            "text": self.text,
        }


def some(names: Sequence[str]) -> str:
    """Names in a sentence: all of a few, a few of many."""
    rest = len(names) - _NAMED
    return ", ".join(names) if rest <= 1 else f"{', '.join(names[:_NAMED])} and {rest} more"


def at_start(**about: Any) -> Message:
    return Message((START,), result="begun", **about)


def at_end(ended: Ended, way: str, begun: bool, **about: Any) -> Message | None:
    """What is told at the end; None after a run that had nothing to do, unless its beginning was told (``begun``)."""
    back = tuple(f"{host} ({release or 'no release'})" for host, release in sorted(ended.back.items()))
    if ended.failed or not ended.reached:
        gone = way == "rollback" or bool(back)
        failure = first_lines(ended.failed) or "it ended before its end; the output of the run says why"
        return Message((FAILURE, *((ROLLBACK,) if gone else ())), way=way, result="failed" if ended.failed else "cut off", failure=failure, back=back, **about)
    if not ended.changed and not begun:
        return None
    return Message((ROLLBACK if way == "rollback" else SUCCESS,), way=way, result="rolled back" if way == "rollback" else "released", **about)


def why(lines: Sequence[Mapping[str, Any]], gone: Sequence[str]) -> str:
    """Why a run ended early that booked nothing: what its journal has, where there is one; ``gone`` are the hosts that failed."""
    for line in lines:
        if line["kind"] == "phase" and line.get("outcome") == "failed":
            where = f" on {line['host']}" if line.get("host") else ""
            return f"{line['name']} failed{where}: {line.get('detail', '')}"
    return f"a task failed on {some(gone)}; the output of the run says why"


def first_lines(failed: Mapping[str, str]) -> str:
    """Why a run failed, in a sentence or two: what follows in the lines below is a program's own, and no message's."""
    lines = list(dict.fromkeys(plain(text.strip().partition("\n")[0]) for text in failed.values() if text.strip()))
    text = "; ".join(lines[:2]) + (f"; and {len(lines) - 2} more" if len(lines) > 2 else "")
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
