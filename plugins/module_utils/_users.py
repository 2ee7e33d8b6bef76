# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users of the host: who owns a release, and doing something as somebody else. Without root nobody changes."""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import Optional, Tuple


def exists(name: str) -> bool:
    """Whether the host has the user."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def home(name: str) -> str:
    """The user's home directory, '' for no user."""
    return pwd.getpwnam(name).pw_dir if name else ""


def owner(user: str) -> Tuple[Optional[int], Optional[int]]:
    if not user or os.geteuid() != 0:
        return None, None
    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


def give(folder: str, user: str) -> None:
    """Make ``user`` (root if empty) the owner of everything below ``folder``; without root nothing changes hands."""
    if os.geteuid() != 0:
        return
    uid, gid = owner(user) if user else (0, 0)
    for path, folders, files in os.walk(folder):
        for name in [path, *(os.path.join(path, item) for item in folders + files)]:
            os.lchown(name, uid or 0, gid or 0)


def become(uid: int) -> None:
    """Turn this process into the user ``uid`` with its groups, if we may."""
    if os.geteuid() != 0 or uid == 0:
        return
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(uid)
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setgid(entry.pw_gid)
    os.setuid(uid)


def dropper(user: str) -> Optional[_Drop]:
    return _Drop(user) if user and os.geteuid() == 0 else None


class _Drop:
    """Become ``user`` in the child, between fork and exec (subprocess's ``user=`` needs Python 3.9)."""

    def __init__(self, user: str) -> None:
        self._entry = pwd.getpwnam(user)
        self._groups = os.getgrouplist(user, self._entry.pw_gid)

    def __call__(self) -> None:
        os.setgroups(self._groups)
        os.setgid(self._entry.pw_gid)
        os.setuid(self._entry.pw_uid)
