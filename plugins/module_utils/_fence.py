# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The highest token that a host has seen, and who came with it: a run with an older one is refused there.

A changing call holds the file's lock, shared, for as long as it works. So when a new run has written its token, no call
of an older one is at work on the host any more, and none will be.
"""

from __future__ import annotations

import fcntl
import os
from typing import List, Tuple

from . import _files
from ._model import Refusal

PATIENCE = 30.0  # seconds for a call of an older run to end; one lasts a few at most, unless its process was stopped
_kept: List[int] = []  # open files whose locks last as long as this process


def _path(folder: str) -> str:
    return f"{folder}/.fence"


def highest(folder: str) -> Tuple[int, str]:
    """The highest token seen in ``folder``, and who came with it; 0 if none was."""
    text = _files.read(_path(folder))
    if text is None:
        return 0, ""
    token, _other, name = text.strip().partition(" ")
    if not token.isdigit():
        raise Refusal(f"{_path(folder)} holds no token: {text[:60]!r}. Make sure that no run is at work on this service, remove that file, and run again.")
    return int(token), name


def overtaken(folder: str, token: int) -> str:
    """In words, who came after ``token`` to this host; '' if nobody did."""
    last, name = highest(folder)
    by = f": {name}" if name else ""
    return f"this run (token {token}) has been overtaken by a younger one (token {last}){by}. Nothing more is changed." if token < last else ""


def raise_to(folder: str, token: int, name: str = "") -> str:
    """Write ``token`` as the highest seen, ``name`` as who came with it; in words who came later, else ''. Waits for calls of older runs to end."""
    with _files.locked(_lock(folder), PATIENCE):
        late = overtaken(folder, token)
        if not late:
            _files.write(_path(folder), f"{token} {' '.join(name.split())}".rstrip() + "\n", 0o600)
        return late


def enter(folder: str, token: int) -> None:
    """Let this process change the host for as long as it lives: until then no younger run gets past :func:`raise_to`.

    :class:`Refusal` if one has already.
    """
    path = _lock(folder)
    if highest(folder)[0] < token:  # a host that was away when the run began
        refuse_if(raise_to(folder, token))
    handle = _files.open_lock(path)
    _kept.append(handle)
    _files.flock(handle, path, fcntl.LOCK_SH, PATIENCE)
    refuse_if(overtaken(folder, token))


def held() -> Tuple[int, ...]:
    """The open files of what :func:`enter` took, for a process that works on after this one."""
    return tuple(_kept)


def leave() -> None:
    """Give up what :func:`enter` took, before this process ends."""
    while _kept:
        os.close(_kept.pop())


def refuse_if(words: str) -> None:
    """:class:`Refusal` with ``words``, if there are any."""
    if words:
        raise Refusal(words)


def absent(folder: str) -> str:
    """What is missing for a fence, in words; '' if nothing is."""
    return "" if os.path.isdir(folder) else f"{folder} is not there: run hotswap.bluegreen.install on this host first."


def _lock(folder: str) -> str:
    refuse_if(absent(folder))
    return f"{folder}/.fence.lock"
