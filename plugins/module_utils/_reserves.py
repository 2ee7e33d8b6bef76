# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host has to spare for one more instance, and what may stand in its way later: memory, open files, ports, inodes.

Each is a decision on numbers that were read, so that a test gives its own; the reading is at the end.
"""

from __future__ import annotations

import os
import re
from typing import FrozenSet, Iterable, List, Mapping, Optional, Tuple

from . import _files, _nginx
from ._model import Wish
from ._parts import Member

_INODES = 10_000  # that shall stay free: a release has some thousand files, in the pristine tree and in each slot
_PROGRAM_FILES = 1024  # open files that a program should be allowed, where no nginx of this host says how many connections come
_WORKER_CONNECTIONS = 512  # nginx's own default

Ranges = Tuple[Tuple[int, int], ...]


def warnings(wish: Wish, trees: Mapping[str, FrozenSet[int]], supervisord: int) -> List[str]:
    """What may go wrong on this host one day, a sentence each. ``trees`` are the processes of each slot, ``supervisord`` its pid."""
    found = []
    connections = _worker_connections(_files.read(wish.nginx.config) or "") if wish.pool else 0
    if wish.members:
        found += memory(available(), {slot: sum(map(resident, pids)) for slot, pids in trees.items()})
        found += program_files(open_files(supervisord), connections)
        found += ephemeral(wish.members, _ranges("ip_local_port_range"), _ranges("ip_local_reserved_ports"))
    workers = _nginx.workers(wish.nginx) if wish.pool else ()
    return found + worker_files(min(filter(None, map(open_files, workers)), default=0), connections)


def memory(free: int, used: Mapping[str, int]) -> List[str]:
    """Bytes available, and what each slot's processes use."""
    slot = max(used, key=lambda name: used[name], default="")
    if not slot or not free or free >= used[slot]:
        return []
    return [
        f"memory: {free >> 20} MB are available, and the processes of {slot} use {used[slot] >> 20} MB. A swap stops the old instance before it "
        "starts the new one, so it can go well; one that needs more than the old one may be killed (or the machine swaps). Make room."
    ]


def two_instances(free: int, used: Mapping[str, int]) -> List[str]:
    """Where both releases run side by side: what the biggest one uses must be free for another, with what the other slot gives back."""
    need = max(used.values(), default=0)
    if not free or free + min(used.values(), default=0) >= need:
        return []
    slot = max(used, key=lambda name: used[name])
    return [
        f"memory: {free >> 20} MB are available, and the processes of {slot} use {need >> 20} MB; the new release runs beside them. "
        "Make room, or use the strategy rolling, which stops the old instance first."
    ]


def program_files(limit: int, connections: int) -> List[str]:
    """The limit of open files that supervisord hands on, against the connections that one worker of nginx may bring."""
    need = connections or _PROGRAM_FILES
    if not limit or limit >= need:
        return []
    what = f"one worker of nginx may open {need} connections (worker_connections)" if connections else f"{need} are common"
    return [
        f"open files: supervisord lets a program have {limit}, and {what}. Raise minfds in the [supervisord] section, and restart supervisord when it suits."
    ]


def worker_files(limit: int, connections: int) -> List[str]:
    """The limit of open files of nginx's workers, against the connections they may have."""
    if not limit or limit >= connections:
        return []
    return [f"open files: a worker of nginx may have {limit}, and worker_connections is {connections}: set worker_rlimit_nofile to at least {2 * connections}."]


def ephemeral(members: Iterable[Member], given: Ranges, reserved: Ranges) -> List[str]:
    """Ports of slots that the kernel may give to an outgoing connection: whoever has it keeps the slot from starting."""
    ports = sorted({port for member in members for port in member.ports.values()})
    risky = [port for port in ports if _within(port, given) and not _within(port, reserved)]
    if not risky:
        return []
    kept = ",".join([*(f"{low}-{high}" if high > low else f"{low}" for low, high in reserved), *map(str, risky)])
    return [
        f"bluegreen_slots: {', '.join(map(str, risky))} may be given to an outgoing connection by the kernel (net.ipv4.ip_local_port_range is "
        f"{given[0][0]}-{given[0][1]}), and the slot would not start then. Reserve with sysctl net.ipv4.ip_local_reserved_ports={kept}, or use lower ports."
    ]


def inodes(folder: str, free: int, known: int) -> List[str]:
    """``known`` is how many the file system has, 0 where it makes them as needed."""
    if not known or free >= _INODES:
        return []
    return [f"the file system of {folder} has {free} inodes free; {_INODES} shall be. Remove small files, or move bluegreen_root."]


def _within(port: int, ranges: Ranges) -> bool:
    return any(low <= port <= high for low, high in ranges)


# Reading.


def inodes_of(folder: str) -> List[str]:
    about = os.statvfs(folder)
    return inodes(folder, about.f_favail, about.f_files)


def available() -> int:
    """Bytes of memory that can be had without swapping, 0 if the kernel does not say."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _files.read("/proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def resident(pid: int) -> int:
    """Bytes of the process, its share of what it has in common with others where we may see that; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as rollup:
            found = re.search(r"^Pss:\s+(\d+) kB", rollup.read(), re.MULTILINE)
        if found:
            return int(found[1]) << 10
    except OSError:
        pass
    pages = (_quiet(f"/proc/{pid}/statm") or "0 0").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    """How many files the process may have open, 0 if that is not known (or without a limit)."""
    found = re.search(r"^Max open files\s+(\d+)", (_quiet(f"/proc/{pid}/limits") or "") if pid else "", re.MULTILINE)
    return int(found[1]) if found else 0


def _quiet(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return None


def _worker_connections(config: str) -> int:
    """As nginx's main file has it: what it includes in events is not read."""
    found = re.search(r"^[^#\n]*\bworker_connections\s+(\d+)\s*;", config, re.MULTILINE)
    return int(found[1]) if found else _WORKER_CONNECTIONS


def _ranges(name: str) -> Ranges:
    """``32768 60999`` or ``8080,9148-9150`` of the kernel as pairs."""
    text = (_quiet(f"/proc/sys/net/ipv4/{name}") or "").strip()
    pairs = (part.partition("-") for part in text.replace("\t", "-").split(",") if part)  # the range has a tab, see ip(7)
    return tuple((int(low), int(high or low)) for low, _other, high in pairs)
