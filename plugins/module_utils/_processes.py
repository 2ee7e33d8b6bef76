# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes by pid: the tree below one, its environment, its start. Linux's /proc, standard library only.

A process is identified by (pid, start) and by being supervisor's child, never by its command line: Workerman, Puma
and others rewrite theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Dict, FrozenSet, List, Optional, Tuple

from . import _private

_START = 19  # fields of /proc/<pid>/stat behind the command: 0 state, 1 parent, 19 start time; see proc(5)


def _stat(pid: int) -> List[str]:
    """The fields of /proc/<pid>/stat behind the command name (which may hold blanks), or [] when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rpartition(")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> int:
    """The process's start in clock ticks since boot, 0 when it is gone or a zombie: with the pid, its identity."""
    stat = _stat(pid)
    return int(stat[_START]) if stat and stat[0] not in "ZX" else 0


def parents() -> Dict[int, int]:
    """Every live process's parent pid."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            stat = _stat(int(name))
            if stat:
                found[int(name)] = int(stat[1])
    return found


def children(pid: int) -> List[int]:
    """The direct children of ``pid``."""
    try:
        found: List[int] = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as names:
                found += [int(name) for name in names.read().split()]
        return found
    except OSError:  # gone, or a kernel without CONFIG_PROC_CHILDREN
        return [child for child, parent in parents().items() if parent == pid]


def tree(pid: int) -> FrozenSet[int]:
    """``pid`` and all its descendants, empty when it is gone."""
    if not pid or not start_time(pid):
        return frozenset()
    found = {pid}
    fresh = [pid]
    while fresh:
        fresh = [child for parent in fresh for child in children(parent) if child not in found]
        found.update(fresh)
    return frozenset(found)


def identities(pids: FrozenSet[int]) -> Tuple[Tuple[int, int], ...]:
    """(pid, start) of each process that is alive: what :func:`alive` can tell from a reused pid."""
    return tuple((pid, start) for pid in sorted(pids) for start in [start_time(pid)] if start)


def alive(known: Tuple[Tuple[int, int], ...]) -> Tuple[int, ...]:
    """Those of ``known`` that still run."""
    return tuple(pid for pid, start in known if start_time(pid) == start)


def heeds(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal, or blocks it to fetch it by itself (signalfd, sigwait): by most signals others end."""
    bits = 0
    with contextlib.suppress(OSError, ValueError):
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            masks = dict(line.split(":", 1) for line in status if line.startswith(("SigBlk:", "SigCgt:")))
        bits = int(masks["SigBlk"], 16) | int(masks["SigCgt"], 16)
    return bool(bits >> (number - 1) & 1)


def environment(pid: int) -> Dict[str, str]:
    """The environment that the process was started with; {} when it is gone or has overwritten it (a new title)."""
    pairs = (item.partition("=") for item in _private.environment(pid) or ())
    return {name: value for name, _other, value in pairs}


def directory(pid: int) -> str:
    """The process's working directory, symbolic links resolved; '' when it is gone or not ours to see."""
    return "".join(_private.directory(pid) or ())


def title(pid: int) -> str:
    """The command line as it reads now, for a person; '' when it is gone."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as cmdline:
            return cmdline.read().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return ""


def describe(pid: int) -> str:
    """``pid 4711 (php bin/hyperf.php start)``."""
    words = title(pid)
    return f"pid {pid} ({words[:80]})" if words else f"pid {pid}"


def running_release(pid: int, slot_dir: str) -> Optional[str]:
    """The release that the process runs: the one that it was proven to have taken in place, else the one it was started with."""
    return reloaded_release(pid, slot_dir) or started_release(pid, slot_dir)


def reloaded_note(slot_dir: str) -> str:
    """Where it stands which ``release`` the slot's process took in place: its ``pid`` and ``start``, and ``since`` when (both in ticks since boot)."""
    return f"{slot_dir}/.reloaded"


def reloaded_release(pid: int, slot_dir: str) -> Optional[str]:
    """The release that this very process was proven to have taken in place."""
    return _reloaded(pid, slot_dir).get("release")


def reloaded_since(pid: int, slot_dir: str) -> int:
    """When it was told to, in ticks since boot: its workers of today are younger. 0 if it was not."""
    return int(_reloaded(pid, slot_dir).get("since", 0))


def _reloaded(pid: int, slot_dir: str) -> Dict[str, Any]:
    """The note, where it is of this very process. That of another one says nothing."""
    try:
        with open(reloaded_note(slot_dir), encoding="utf-8") as note:
            found: Dict[str, Any] = json.load(note)
        whole = isinstance(found["release"], str) and isinstance(found["since"], int)
        return found if whole and found["pid"] == pid and found["start"] == start_time(pid) != 0 else {}
    except (OSError, ValueError, KeyError, TypeError):  # none, or one that somebody edited
        return {}


def ticks() -> int:
    """Now, as :func:`start_time` counts."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def started_release(pid: int, slot_dir: str) -> Optional[str]:
    """The release that the process was started with: what its launcher exported, else the directory it was started in.

    setproctitle and PHP's cli_set_process_title overwrite the environment's memory; the working directory stays.
    """
    exported = environment(pid).get("BLUEGREEN_RELEASE")
    if exported:
        return exported
    below = directory(pid)
    prefix = os.path.realpath(slot_dir) + "/"
    return below[len(prefix) :].split("/")[0] if below.startswith(prefix) else None
