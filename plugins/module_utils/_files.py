# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and locks on a target: atomic writes, atomic links, one writer at a time. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from typing import Iterator, List, Optional

from ._model import Refusal


def read(path: str) -> Optional[str]:
    """The text of a file, None where there is none. :class:`Refusal` when it is not ours to read."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise Refusal(f"cannot read {path}: {error.strerror}. Use become.") from None


def holds(path: str, content: bytes) -> bool:
    """Whether the file has exactly these bytes; False where there is none, or none that we may read."""
    try:
        with open(path, "rb") as file:
            return file.read() == content
    except OSError:
        return False


def write(path: str, text: str, mode: int, owner: Optional[int] = None, group: Optional[int] = None) -> bool:
    """Put ``text`` at ``path`` in one rename, durable before it is visible. False if it stood there already."""
    if read(path) == text:
        return False
    folder, name = os.path.split(path)
    try:
        handle, draft = tempfile.mkstemp(prefix=f".{name}.", suffix=".new", dir=folder)
    except OSError as error:
        raise Refusal(f"cannot write {path}: {error.strerror}. Use become, or give this user the directory {folder}.") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), owner, -1 if group is None else group)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        if isinstance(error, OSError):  # a full disk, a quota: what stood there still does
            raise Refusal(f"cannot write {path}: {error.strerror}. It is as it was.") from None
        raise
    return True


def target(path: str) -> Optional[str]:
    """Where a symbolic link points to, as it is written; None where there is none."""
    try:
        return os.readlink(path)
    except OSError:
        return None


def link(to: str, path: str) -> bool:
    """Point the symbolic link ``path`` to ``to`` in one rename. False if it did already."""
    if target(path) == to:
        return False
    draft = f"{os.path.dirname(path)}/.{os.path.basename(path)}.new"
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        os.symlink(to, draft)
        os.replace(draft, path)
    except OSError as error:
        raise Refusal(f"cannot set the link {path}: {error.strerror}. Use become, or give this user its directory.") from None
    return True


@contextlib.contextmanager
def locked(path: str, patience: Optional[float] = None) -> Iterator[None]:
    """One process at a time: an exclusive flock on ``path``, which the kernel releases when its holder dies.

    :class:`Refusal` if it is not ours after ``patience`` seconds; None waits for ever.
    """
    handle = open_lock(path)
    try:
        flock(handle, path, fcntl.LOCK_EX, patience)
        yield
    finally:
        os.close(handle)


def open_lock(path: str) -> int:
    """The lock file, made if need be."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refusal(f"cannot open the lock file {path}: {error.strerror}. Use become, or run hotswap.bluegreen.install.") from None


def flock(handle: int, path: str, kind: int, patience: Optional[float]) -> None:
    """Wait for a lock of ``kind`` on the open file. :class:`Refusal` names who has it after ``patience`` seconds."""
    if patience is None:
        fcntl.flock(handle, kind)
        return
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                who = ", ".join(map(_command, _lockers(handle))) or "a process that this user may not see"
                raise Refusal(f"{path} is still locked after {patience:g} s, by {who}. Wait for its end, or end it, and run again.") from None
        time.sleep(0.02)


def _lockers(handle: int) -> List[int]:
    """The processes with a lock on the open file, as the kernel knows them: see proc_locks(5)."""
    about = os.fstat(handle)
    name = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    rows = [line.split() for line in (read("/proc/locks") or "").splitlines()]
    return sorted({int(row[4]) for row in rows if row[1] == "FLOCK" and row[5] == name and int(row[4]) > 0})


def _command(pid: int) -> str:
    words = " ".join((read(f"/proc/{pid}/cmdline") or "").replace("\0", " ").split())
    return f"pid {pid} ({words[:80]})" if words else f"pid {pid}"
