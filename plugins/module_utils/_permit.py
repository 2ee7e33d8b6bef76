# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The permit of a single job on a host: a file, without which its start ends at once, locked while it runs.

Where the permit is, the job may be; where none is, it is not, and nothing brings it back: no supervisord that restarts,
no cron that read its table a moment ago, no person with supervisorctl. A start holds the lock for the job and for every
child that its files are left open to (see ``_program``), so it is taken away only when all of them are gone. It stays
while a job is replaced on its host, so that a run that is cut off there can be completed without asking any other host.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import FrozenSet, Tuple

from . import _private, _program
from ._model import Refusal, Wish


def path(wish: Wish, job: str) -> str:
    return f"{_program.permit_folder(wish.root)}/{job}"


def here(wish: Wish) -> FrozenSet[str]:
    """The jobs, by id, that have a permit on this host."""
    try:
        return frozenset(name for name in os.listdir(_program.permit_folder(wish.root)) if not name.startswith("."))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise Refusal(f"cannot read {_program.permit_folder(wish.root)}: {error.strerror}. Use become.") from None


def grant(wish: Wish, job: str) -> bool:
    """Let the job run on this host; False if it might already."""
    with contextlib.suppress(FileExistsError):
        try:
            handle = os.open(path(wish, job), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
        except FileNotFoundError:
            raise Refusal(f"{_program.permit_folder(wish.root)} is not there: stage the release first.") from None
        os.fchmod(handle, 0o644)  # the service's user opens it, whatever the umask is
        os.close(handle)
        return True
    return False


def is_free(wish: Wish, job: str) -> bool:
    """Whether no process holds the permit."""
    return _try(wish, job, remove=False)


def withdraw(wish: Wish, job: str) -> bool:
    """Take the permit away for good, if no process holds it; whether it is gone."""
    return _try(wish, job, remove=True)


def _try(wish: Wish, job: str, remove: bool) -> bool:
    try:
        handle = os.open(path(wish, job), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if remove:  # with the lock: who opened it before and gets it after us looks whether it is still there
            os.unlink(path(wish, job))
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def holders(wish: Wish, job: str) -> Tuple[int, ...]:
    """Every process of this host that was started with the permit, whoever its parent is now, or has it open."""
    wanted = path(wish, job)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            pid = int(name)
            if f"BLUEGREEN_PERMIT={wanted}" in (_private.environment(pid) or ()) or wanted in (_private.files(pid) or ()):
                found.append(pid)
    return tuple(sorted(found))
