# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What both releases answered while a canary went on: read from nginx's log of it, line after line, once each.

A line is ``$msec <side> $status $upstream_status $upstream_response_time``. The last two have a list where nginx asked
more than one member ("502, 200", after an internal redirect "502 : 200"), and a hyphen where it asked none.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Tuple

from ._probe._tally import bucket_of

NEW, OLD = SIDES = ("new", "old")
_MOST = 4 << 20  # bytes that are read at one look, about 90,000 lines; what is beyond is read at the next
_LARGEST = 64 << 20  # bytes of a log that was read to its end and is then emptied: a canary may wait for days
_LIST = r"(?:-|[\d.]+)(?:(?:, | : )(?:-|[\d.]+))*"
_LINE = re.compile(rf"(new|old) (\d{{3}}) ({_LIST}) ({_LIST})\Z")
_UPGRADED = "101"  # a WebSocket: its time is how long it was open


@dataclass(frozen=True)
class Side:
    """The answers of one release. ``times`` counts those that are no errors by the bucket of how long the members took (:mod:`._probe._tally`).

    The keys of ``times`` are texts, as JSON has them. Sums of two times, or of two balancers, are added with ``+``.
    """

    answers: int = 0
    errors: int = 0
    classes: Dict[str, int] = field(default_factory=dict)
    times: Dict[str, int] = field(default_factory=dict)

    def __add__(self, other: Side) -> Side:
        classes, times = (dict(Counter(mine) + Counter(theirs)) for mine, theirs in ((self.classes, other.classes), (self.times, other.times)))
        return Side(self.answers + other.answers, self.errors + other.errors, classes, times)


@dataclass(frozen=True)
class Answers:
    """What was new in the log: ``sides`` by name, where to go on (``mark``), and how many bytes are ``left`` for the next look."""

    sides: Dict[str, Side] = field(default_factory=dict)
    mark: Dict[str, int] = field(default_factory=dict)
    left: int = 0


def read(path: str, mark: Optional[Mapping[str, int]] = None) -> Answers:
    """The answers since ``mark``; without one those that are in the log. A log that is not there has none.

    One that was rotated or emptied is read from its beginning. What cannot be read as a line is no answer. A large log
    that was read to its end is emptied; a line that nginx writes in that very moment is lost.
    """
    mark = mark or {}
    try:
        with open(path, "rb") as file:
            seen = os.fstat(file.fileno())
            same = seen.st_ino == mark.get("inode") and seen.st_size >= mark.get("offset", 0)
            start = mark.get("offset", 0) if same else 0
            file.seek(start)
            text = file.read(_MOST)
    except OSError:
        return Answers(mark=dict(mark))
    whole = text.rfind(b"\n") + 1  # the rest is still being written
    offset = start + (whole or (len(text) if len(text) == _MOST else 0))
    left = max(0, seen.st_size - start - len(text))
    if not left and offset >= _LARGEST:
        empty(path)
        offset = 0
    return Answers(_sides(text[:whole]), {"inode": seen.st_ino, "offset": offset}, left)


def end(path: str) -> Dict[str, int]:
    """The mark of the log's end: only what comes from now on counts."""
    try:
        seen = os.stat(path)
    except OSError:
        return {}
    return {"inode": seen.st_ino, "offset": seen.st_size}


def empty(path: str) -> None:
    """Take away what is in the log, which nginx appends to. One that is not there stays away."""
    with contextlib.suppress(OSError):
        os.truncate(path, 0)


def _sides(text: bytes) -> Dict[str, Side]:
    """The sums of both sides. Times have milliseconds, so that most lines differ in nothing but their moment: each kind is read once."""
    kinds = Counter(line.partition(" ")[2] for line in text.decode("ascii", "replace").splitlines())
    sums: Dict[str, Any] = {side: (Counter(), Counter(), Counter()) for side in SIDES}
    for words, count in kinds.items():
        found = _LINE.match(words)
        if not found:
            continue
        side, status, asked, took = found.groups()
        totals, classes, times = sums[side]
        wrong = _is_error(status, asked)
        totals["answers"] += count
        totals["errors"] += count if wrong else 0
        classes[f"{status[0]}xx"] += count
        seconds = None if wrong or status == _UPGRADED else _seconds(took)
        if seconds is not None:
            times[str(bucket_of(seconds))] += count
    return {side: Side(totals["answers"], totals["errors"], dict(classes), dict(times)) for side, (totals, classes, times) in sums.items()}


def _items(words: str) -> Tuple[str, ...]:
    return tuple(re.split(", | : ", words))


def _is_error(status: str, asked: str) -> bool:
    """Whether the client got an error, or would have, but for the user's own error page."""
    return status.startswith("5") or _items(asked)[-1].startswith("5")


def _seconds(took: str) -> Optional[float]:
    """How long the client waited for all members that nginx asked; None if it asked none."""
    known = []
    for item in _items(took):
        with contextlib.suppress(ValueError):
            known.append(float(item))
    return sum(known) if known else None
