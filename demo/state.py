"""A directory for everything the demo makes, and the certainty that it and all processes are gone afterwards.

This process takes in orphans (PR_SET_CHILD_SUBREAPER), so whatever was started, a daemon or a module of ansible whose
parent was ended, stays below it in the process tree and is found by its parents, not by its name.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.bed import end

_PR_SET_CHILD_SUBREAPER = 36
_SOCKET_PATH = 107  # bytes that the path of a unix socket may have
_BELOW = len("/bluegreen-demo-12345678/ours/supervisor.sock.1234567")


@contextlib.contextmanager
def state() -> Iterator[Path]:
    """A new directory that nginx's workers may search, outside the checkout; gone afterwards with all processes."""
    adopt_orphans()
    folder = Path(tempfile.mkdtemp(prefix="bluegreen-demo-", dir=_parent()))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        for pid in descendants():
            end(pid, 5)
        with contextlib.suppress(ChildProcessError):  # none left
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(folder)  # now with the reason why not


def _parent() -> str:
    """The directory for temporary files, unless a socket's path below it would be too long."""
    wanted = tempfile.gettempdir()
    return wanted if len(os.fsencode(wanted)) + _BELOW <= _SOCKET_PATH else "/tmp"


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends. Where that is not possible, nothing is lost but certainty."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants() -> list[int]:
    """All processes below this one, parents first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry))
    found: list[int] = []
    level = [os.getpid()]
    while level:
        level = [child for parent in level for child in children.get(parent, ())]
        found += level
    return found
