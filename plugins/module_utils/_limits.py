# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host shows while a swap goes on, beside the user's limits: new lines in logs, memory in use, load."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, List, Mapping, Tuple

from . import _files
from ._parts import ErrorLog, HostLimits

_MOST = 8 << 20  # bytes of a log that are read at one look; what is beyond is read at the next
_SHOWN = 300  # characters of a line


def look(limits: HostLimits) -> Tuple[Tuple[Tuple[str, str], ...], Dict[str, Dict[str, Any]]]:
    """What crosses a limit, as what was expected and what was seen, and how far each log was read.

    The first look reads no log: what is in it already is not of this swap. A log that is not there yet has no lines.
    """
    marks = {log.path: _read(log, limits.marks.get(log.path)) for log in limits.logs}
    found: List[Tuple[str, str]] = []
    for log in limits.logs:
        mark = marks[log.path]
        if mark["lines"] > log.most:
            expected = f"at most {log.most} new lines of {log.path} match {log.pattern} (bluegreen_error_logs)"
            found.append((expected, f"{mark['lines']} since the swap began, the first: {mark['first']}"))
    if limits.memory:
        used = _memory_used()
        if used > limits.memory:
            found.append((f"at most {limits.memory:g} % of the memory is in use (bluegreen_max_memory)", f"{used:.0f} %"))
    if limits.load:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        if load > limits.load:
            found.append((f"the load is at most {limits.load:g} a core (bluegreen_max_load)", f"{load:.2f}"))
    return tuple(found), marks


def _read(log: ErrorLog, mark: Any) -> Dict[str, Any]:
    """How far the log was read, how many of its new lines match, and the first of them."""
    try:
        with open(log.path, "rb") as file:
            seen = os.fstat(file.fileno())
            if mark is None:
                return {"inode": seen.st_ino, "offset": seen.st_size, "lines": 0, "first": ""}
            same = seen.st_ino == mark["inode"] and seen.st_size >= mark["offset"]  # else it was rotated, or emptied
            file.seek(mark["offset"] if same else 0)
            text = file.read(_MOST)
            start = file.tell() - len(text)
    except OSError:
        return dict(mark or {"inode": 0, "offset": 0, "lines": 0, "first": ""})
    whole = text.rfind(b"\n") + 1  # the rest is still being written
    pattern = re.compile(log.pattern)
    matching = [line for line in text[:whole].decode("utf-8", "replace").splitlines() if pattern.search(line)]
    first = mark["first"] or next((line.strip()[:_SHOWN] for line in matching), "")
    return {"inode": seen.st_ino, "offset": start + (whole or (len(text) if len(text) == _MOST else 0)), "lines": mark["lines"] + len(matching), "first": first}


def _memory_used() -> float:
    """Percent of the memory that no new process could have."""
    values: Mapping[str, str] = dict(line.split(":", 1) for line in (_files.read("/proc/meminfo") or "").splitlines() if ":" in line)
    total, free = (int(values.get(name, "0").split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 100.0 * (total - free) / total if total else 0.0


def doubts(limits: HostLimits) -> List[str]:
    """What of the limits may not work here as its user thinks."""
    return [f"bluegreen_error_logs: {log.path} is not there (yet); its lines count once it is." for log in limits.logs if not os.path.isfile(log.path)]
