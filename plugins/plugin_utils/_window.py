# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a service may be released: days, hours and the time zone they are meant in. Pure functions of a moment."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import _values
from ._rules import Problems
from ._values import show

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMES = {**{day: day for day in _DAYS}, **{f"{day}day": day[:3] for day in ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")}}
_HOURS = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})\Z")
_DAY = 24 * 60  # minutes
_NO_REASON = frozenset({"true", "yes", "on", "1", "y"})


@dataclass(frozen=True)
class Window:
    """``days`` from 0, Monday; ``hours`` as minutes of the day that they begin on, so an end beyond 1440 is on the next day."""

    days: tuple[int, ...]
    hours: tuple[tuple[int, int], ...]
    zone: str
    words: str

    def refusal(self, now: datetime.datetime) -> str:
        """Why nothing is released at ``now`` (with a time zone, any), and when the window opens; '' inside of it."""
        here = now.astimezone(zoneinfo.ZoneInfo(self.zone))
        minute = here.hour * 60 + here.minute
        yesterday = (here.weekday() - 1) % 7
        for begin, end in self.hours:
            if (here.weekday() in self.days and begin <= minute < end) or (yesterday in self.days and minute + _DAY < end):
                return ""
        ahead = ((days, begin) for days in range(8) if (here.weekday() + days) % 7 in self.days for begin, _end in self.hours)
        days, begin = min((days, begin) for days, begin in ahead if days or begin > minute)
        opens = f"{_DAYS[(here.weekday() + days) % 7]} {(here + datetime.timedelta(days=days)).date()} {begin // 60:02}:{begin % 60:02}"
        return (
            f"bluegreen_window is {self.words}, and it is {_DAYS[here.weekday()]} {here:%Y-%m-%d %H:%M} there: nothing is released now. "
            f'It opens {opens}; bluegreen_window_override="why it cannot wait" releases all the same, and goes to the history.'
        )


def read(given: Mapping[str, Any] | None, problems: Problems) -> Window | None:
    """The window as the user wrote it; None without one, or if it is not usable, which is noted."""
    if not given:
        return None
    before = len(problems.found)
    days = tuple(day for item in _values.listed(given["days"]) for day in _days(str(item).strip().lower(), problems))
    hours = tuple(span for item in _values.listed(given["hours"]) for span in [_span(str(item).strip(), problems)] if span)
    zone = given.get("time_zone") or ""
    problems.unless(
        (days and hours) or len(problems.found) > before, "bluegreen_window: days or hours is empty, so it would never open; take it out for all of them."
    )
    _check_zone(zone, problems)
    if len(problems.found) > before:
        return None
    texts = (", ".join(map(str, _values.listed(given[name]))) for name in ("days", "hours"))
    return Window(days, hours, zone, f"{' '.join(texts)} {zone}")


def reason(text: str, problems: Problems) -> str:
    """The reason to release outside of the window, '' without one; a switch is none."""
    problems.unless(
        text.strip().lower() not in _NO_REASON, f"bluegreen_window_override is {show(text)}; the reason in words is expected, which goes to the history."
    )
    return text.strip()


def _days(text: str, problems: Problems) -> list[int]:
    first, dash, last = (_NAMES.get(part.strip(), part) for part in text.partition("-"))
    usable = first in _DAYS and (last in _DAYS or not dash)
    if not problems.unless(usable, f"bluegreen_window: days is {show(text)}; days such as mon or fri, or mon-fri, or a list of them are expected."):
        return []
    begin = _DAYS.index(first)
    count = (_DAYS.index(last) - begin) % 7 + 1 if dash else 1
    return [(begin + number) % 7 for number in range(count)]


def _span(text: str, problems: Problems) -> tuple[int, int] | None:
    found = _HOURS.match(text)
    numbers = [int(number) for number in found.groups()] if found else []
    usable = (
        numbers
        and all(minute < 60 for minute in numbers[1::2])
        and all(hour * 60 + minute <= _DAY for hour, minute in zip(numbers[::2], numbers[1::2], strict=True))
    )
    begin, end = (numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]) if usable else (0, 0)
    if not problems.unless(
        begin != end and begin < _DAY,
        f"bluegreen_window: hours is {show(text)}; two times such as 09:00-17:00 (22:00-04:00 goes over midnight) or a list of them are expected.",
    ):
        return None
    return begin, end if end > begin else end + _DAY


def _check_zone(zone: str, problems: Problems) -> None:
    try:
        if zone:
            zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        known = zoneinfo.available_timezones()
        text = (
            "is no time zone"
            if known
            else "cannot be looked up, because this controller has no time zone data: install tzdata (the package of the system, or pip's)"
        )
        advice = f"; {_values.unknown(zone, known, 'a name such as Europe/Berlin is expected.')}" if known else ""
        problems.found.append(f"bluegreen_window: time_zone {show(zone)} {text}{advice or '.'}")
        return
    problems.unless(zone, "bluegreen_window: time_zone is not set; a name such as Europe/Berlin is expected.")
