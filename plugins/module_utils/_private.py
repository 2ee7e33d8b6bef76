# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What /proc shows of a process to its owner only: open files, environment, working directory.

root may look at all of them, except in a container without CAP_SYS_PTRACE (docker's default): there a child of ours
becomes the process's owner for as long as it looks.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable, List, Optional, Tuple


def files(pid: int) -> Optional[List[str]]:
    """What the process has open, as /proc names it; [] when it is gone, None where we may not see it."""
    return _look(pid, _files)


def environment(pid: int) -> Optional[List[str]]:
    """The environment that the process was started with, as texts ``NAME=value``; see :func:`files`."""
    return _look(pid, _environment)


def directory(pid: int) -> Optional[List[str]]:
    """The working directory, as the only entry; see :func:`files`."""
    return _look(pid, _directory)


def _files(pid: int) -> List[str]:
    folder, found = f"/proc/{pid}/fd", []
    for name in os.listdir(folder):
        try:
            found.append(os.readlink(f"{folder}/{name}"))
        except FileNotFoundError:  # closed meanwhile
            continue
    return found


def _environment(pid: int) -> List[str]:
    with open(f"/proc/{pid}/environ", "rb") as environ:
        return [item.decode("utf-8", "surrogateescape") for item in environ.read().split(b"\0") if b"=" in item]


def _directory(pid: int) -> List[str]:
    return [os.readlink(f"/proc/{pid}/cwd")]


def _look(pid: int, read: Callable[[int], List[str]]) -> Optional[List[str]]:
    try:
        return read(pid)
    except PermissionError:
        return _as_owner(pid, read)
    except OSError:
        return []


def _owner(pid: int) -> Optional[Tuple[int, int]]:
    """User and group of the process, where it has but one of each."""
    found = {}
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            for line in status:
                name, _other, numbers = line.partition(":")
                if name in ("Uid", "Gid"):
                    found[name] = set(map(int, numbers.split()))
    except OSError:
        return None
    if len(found) != 2 or any(len(numbers) != 1 for numbers in found.values()):
        return None
    return found["Uid"].pop(), found["Gid"].pop()


def _as_owner(pid: int, read: Callable[[int], List[str]]) -> Optional[List[str]]:
    """What ``read`` sees as the process's owner, None where that does not help or we may not become it."""
    owner = _owner(pid) if os.geteuid() == 0 else None
    if owner is None:
        return None
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        answer: Any = None
        try:
            os.setgroups([])
            os.setgid(owner[1])
            os.setuid(owner[0])
            answer = read(pid)
        except PermissionError:
            pass
        except OSError:
            answer = []
        finally:
            with os.fdopen(theirs, "wb") as out:  # no codec to import: that may be out of this user's reach
                out.write(json.dumps(answer).encode())
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answers:
        text = answers.read()
    os.waitpid(child, 0)
    found: Optional[List[str]] = json.loads(text or b"null")
    return found
