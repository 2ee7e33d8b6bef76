# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a member that looks well may answer with old code: what is worth a look on its host. Changes nothing.

docs/troubleshooting.md tells of each of these sentences what it means and what to do.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import time
from typing import FrozenSet, Iterator, List, Optional, Tuple

from . import _files, _observe_slot, _php, _processes, _reload
from ._model import Wish
from ._parts import Member
from ._states import SlotState

_MOST = 20000  # files that are looked at
_SLACK = 2.0  # seconds by which a clock and a file's time may differ


def hints(wish: Wish, member: Member, slot: SlotState) -> List[str]:
    """What may keep the release ``current`` from answering, as the end of a sentence each, for a slot with a process."""
    if not slot.pid:
        return []
    place = f"{wish.root}/{member.slot}"
    found = [
        _shown(wish, member, slot),
        _directory(slot.pid, place),
        _left_worker(wish, member, slot.pid, place),
        _program_file(wish, member, slot),
        _unreadable(wish, place),
    ]
    return [*filter(None, found), *_opcache(wish, slot.pid)]


def _shown(wish: Wish, member: Member, slot: SlotState) -> str:
    """What its answers say; asked only where the user said that they do."""
    if wish.strategy != "reload" or not slot.healthy or not slot.release:
        return ""
    shown = _reload.shown(wish, member)
    return f"answers as release {shown} ({_reload.place_of(wish)}), and was to run {slot.release}" if shown and shown != slot.release else ""


def _directory(pid: int, place: str) -> str:
    """The release that it was started in is its working directory for ever: elsewhere it runs other code, or other settings."""
    where = _processes.directory(pid)
    if where.endswith(" (deleted)"):
        return f"works in {where[:-10]}, which was removed"
    inside = not where or where.startswith(f"{os.path.realpath(place)}/")
    return "" if inside else f"works in {where}, not in its release: does its command go there, or name files there?"


def _left_worker(wish: Wish, member: Member, pid: int, place: str) -> str:
    """A worker that a reload did not end goes on with the code that it has."""
    since = _processes.reloaded_since(pid, place)
    left = [one for one, start in _reload.workers(pid, member) if start < since]
    return f"has a worker from before its reload, which may answer with the old release: {_processes.describe(left[0])}" if left else ""


def _program_file(wish: Wish, member: Member, slot: SlotState) -> str:
    """supervisor reads a program file when it is told to, and applies it to the next start."""
    try:
        written = os.stat(_observe_slot.program_path(wish, member.slot)).st_mtime
    except OSError:
        return ""
    began = time.time() - slot.uptime
    if written <= began + _SLACK:
        return ""
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(written))
    return f"has a program file that was changed at {clock}, after its start: what it says holds from the next start that supervisor was told of it"


def _unreadable(wish: Wish, place: str) -> str:
    """The first file of its release that the service's user may not read."""
    release = _files.target(f"{place}/current")
    try:
        user = pwd.getpwnam(wish.program.user) if wish.program.user else None
    except KeyError:
        return ""
    if not release or user is None or user.pw_uid == 0:
        return ""
    groups = frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
    for number, (path, about) in enumerate(_below(f"{place}/{release}")):
        if number >= _MOST:
            break
        if not _may_read(about, user.pw_uid, groups):
            name = os.path.relpath(path, f"{place}/{release}")
            return f"has a file that {user.pw_name} may not read: {name} ({_owner(about)} {stat.S_IMODE(about.st_mode):04o})"
    return ""


def _below(folder: str) -> Iterator[Tuple[str, os.stat_result]]:
    """Every file and directory, links followed; what leads nowhere is left out."""
    for path, folders, files in os.walk(folder):
        for name in (*folders, *files):
            whole = os.path.join(path, name)
            about = _stat(whole)
            if about:
                yield whole, about


def _stat(path: str) -> Optional[os.stat_result]:
    try:
        return os.stat(path)
    except OSError:
        return None


def _may_read(about: os.stat_result, uid: int, groups: FrozenSet[int]) -> bool:
    """As the kernel decides: the first of owner, group and others that fits."""
    shift = 6 if about.st_uid == uid else 3 if about.st_gid in groups else 0
    needed = 5 if stat.S_ISDIR(about.st_mode) else 4
    return (about.st_mode >> shift) & needed == needed


def _owner(about: os.stat_result) -> str:
    try:
        return f"{pwd.getpwuid(about.st_uid).pw_name}:{grp.getgrgid(about.st_gid).gr_name}"
    except KeyError:
        return f"{about.st_uid}:{about.st_gid}"


def _opcache(wish: Wish, pid: int) -> List[str]:
    if wish.strategy != "reload":
        return []
    php = _php.interpreter(_processes.title(pid).split())
    return [f"may answer with old code: {text}" for text in _php.of_opcache(_php.ask(php, wish.program.user), wish)] if php else []
