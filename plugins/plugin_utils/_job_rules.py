# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``bluegreen_workers`` and ``bluegreen_cron`` as jobs; every rule that is broken is a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Job

from . import _commands
from ._rules import Problems
from ._topology import Topology
from ._values import show

_NAME = re.compile(r"[a-z][a-z0-9]{0,15}\Z")
_WORDS = frozenset({"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@reboot"})
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# field → lowest, highest, names from the lowest on; see crontab(5)
_FIELDS = (("minute", 0, 59, ()), ("hour", 0, 23, ()), ("day", 1, 31, ()), ("month", 1, 12, _MONTHS), ("day of the week", 0, 7, _DAYS))
_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/([1-9][0-9]?))?\Z")


def read(values: Mapping[str, Any], shape: Topology, problems: Problems) -> tuple[Job, ...]:
    """All jobs of the service, as one host's values have them."""
    slots = frozenset(str(slot.get("name")) for slot in values["slots"])
    workers = [_worker(item, number, values, shape, problems) for number, item in enumerate(values["workers"], 1)]
    entries = [_entry(item, number, shape, problems) for number, item in enumerate(values["cron"], 1)]
    _check_names("bluegreen_workers", "workers", workers, slots, problems)
    _check_names("bluegreen_cron", "entries", entries, frozenset(), problems)
    for host, why in values["workers_absent"].items():
        problems.unless(
            host in shape.hosts or host in shape.absent,
            f"bluegreen_workers_absent names {show(host)}, which is no host of the service; its hosts: {', '.join(shape.hosts)}.",
        )
        problems.unless(str(why or "").strip(), f"bluegreen_workers_absent: say why {host} is gone, as in {{{host}: burnt down}}.")
    return (*workers, *entries)


def _worker(item: Mapping[str, Any], number: int, values: Mapping[str, Any], shape: Topology, problems: Problems) -> Job:
    name = item.get("name") or ""
    label = f"bluegreen_workers: {name or f'entry {number}'}"
    stop = values["stop_timeout"] if item.get("stop_timeout") is None else item["stop_timeout"]
    seconds = values["start_seconds"] if item.get("start_seconds") is None else item["start_seconds"]
    problems.unless(math.isfinite(stop) and stop > 0, f"{label}: stop_timeout is {stop:g}; a positive number is expected.")
    problems.unless(seconds >= 0, f"{label}: start_seconds is {seconds}; 0 or a positive number is expected.")
    return Job(
        name=name,
        command=_command(item, label, problems),
        scope=item["scope"],
        host=_host(item, label, shape, problems),
        autorestart=item["autorestart"],
        start_seconds=seconds,
        stop_signal=item.get("stop_signal") or values["stop_signal"],
        stop_timeout=math.ceil(stop) if math.isfinite(stop) else 1,
    )


def _entry(item: Mapping[str, Any], number: int, shape: Topology, problems: Problems) -> Job:
    name = item.get("name") or ""
    label = f"bluegreen_cron: {name or f'entry {number}'}"
    schedule = " ".join((item.get("schedule") or "").split())
    wrong = _schedule_problem(schedule)
    problems.unless(not wrong, f"{label}: schedule is {show(schedule)}; {wrong}.")
    return Job(name, _command(item, label, problems), item["scope"], _host(item, label, shape, problems), schedule or "@daily")


def _command(item: Mapping[str, Any], label: str, problems: Problems) -> tuple[str, ...]:
    problems.unless(item.get("command") is not None, f"{label} has no command.")
    return _commands.words(item.get("command"), label, problems)


def _host(item: Mapping[str, Any], label: str, shape: Topology, problems: Problems) -> str:
    host = item.get("host") or ""
    problems.unless(not host or item["scope"] == "fleet", f"{label}: host goes with scope fleet, not with {item['scope']}.")
    problems.unless(
        not host or host in shape.hosts or host in shape.absent,
        f"{label}: host is {show(host)}, which is no host of the service; its hosts: {', '.join(shape.hosts)}.",
    )
    return str(host)


def _check_names(variable: str, what: str, jobs: Sequence[Job], slots: frozenset[str], problems: Problems) -> None:
    names = [job.name for job in jobs]
    for number, name in enumerate(names, 1):
        problems.unless(
            _NAME.match(name), f"{variable}: entry {number} is named {show(name)}; a lower-case letter and up to 15 lower-case letters and digits are expected."
        )
        problems.unless(name not in slots, f"{variable}: {name} is the name of a slot, too; give the worker another one.")
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.found.append(f"{variable}: {names.count(name)} {what} are named {name}; each needs a name of its own.")


def _schedule_problem(schedule: str) -> str:
    """What is wrong with a schedule, '' if nothing is."""
    if schedule in _WORDS:
        return ""
    fields = schedule.split()
    if len(fields) != len(_FIELDS):
        return f"five fields, such as '*/5 * * * *', or one of {', '.join(sorted(_WORDS))} are expected"
    for text, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        if not all(_is_part(part, low, high, names) for part in text.split(",")):
            return f"its {name} is {text!r}; *, numbers from {low} to {high}, ranges and steps (*/5, 1-5, 1,15) are expected"
    return ""


def _is_part(text: str, low: int, high: int, names: Sequence[str]) -> bool:
    match = _PART.match(text)
    if not match:
        return False
    every, first, last, _step = match.groups()
    bounds = [_number(word, low, names) for word in (first, last) if word]
    return bool(every) or (all(low <= bound <= high for bound in bounds) and bounds == sorted(bounds))


def _number(word: str, low: int, names: Sequence[str]) -> int:
    """A field's number, or its name's; -1 if it is neither."""
    if word.lower() in names:
        return names.index(word.lower()) + low
    return int(word) if re.match(r"[0-9]{1,2}\Z", word) else -1
