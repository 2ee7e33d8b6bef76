# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and locks on a target: atomic writes, atomic links, one writer at a time. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from typing import Iterator, Optional

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
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
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
def locked(path: str) -> Iterator[None]:
    """One process at a time: an exclusive flock on ``path``, which the kernel releases when its holder dies."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refusal(f"cannot open the lock file {path}: {error.strerror}. Use become, or run hotswap.bluegreen.install.") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
