# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A command of the user that may outlast the call that began it. Standard library only; the controller uses it, too.

It runs by itself, in a session and a time of its own, with its words and its exit status in a directory; a later call asks there.
So the controller can show progress and notice an interrupt, and a command whose controller is gone still ends in time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from . import _fence, _files, _processes, _users
from ._model import Refusal

TOO_LONG = 124  # what coreutils' timeout ends with
_KILL_AFTER = 5  # seconds from SIGTERM to SIGKILL, when its time is over
_LINES = 20
_TAIL = 64 << 10  # bytes of its output that are looked at

# The lock of the fence lasts as long as this shell: no younger run begins while the command works. The command itself does not inherit
# it, or a daemon that it starts would keep it for ever.
_SHELL = 'd=$1; n=$2; k=$3; shift 3; timeout -k "$k" "$n" "$@" >"$d/output" 2>&1 </dev/null {closed}; echo $? >"$d/.status"; mv "$d/.status" "$d/status"'


@dataclass(frozen=True)
class Command:
    """``words`` are run in ``cwd`` as ``user`` ('' is whoever runs this) for at most ``timeout`` seconds, with ``environment`` on top."""

    words: Tuple[str, ...]
    cwd: str
    timeout: float
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def begin(folder: str, command: Command) -> Dict[str, int]:
    """Start the command; what an earlier one left in ``folder`` is forgotten. What is returned goes to :func:`status`."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder, 0o700)
    uid, gid = _users.owner(command.user)
    if uid is not None and gid is not None:
        os.chown(folder, uid, gid)
    kept = dict(zip(range(9, 2, -1), _fence.held()))
    shell = _SHELL.format(closed=" ".join(f"{number}>&-" for number in kept))
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", shell, "bluegreen", folder, f"{command.timeout:g}", str(_KILL_AFTER), *command.words],
            cwd=command.cwd,
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=False,  # Python's own are closed by exec
            preexec_fn=lambda: _settle(kept, _users.dropper(command.user)),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise Refusal(f"cannot be started in {command.cwd}: {error}") from None
    return {"pid": process.pid, "start": _processes.start_time(process.pid)}


def _settle(kept: Mapping[int, int], drop: Optional[Callable[[], None]]) -> None:
    """In the child: what it inherits, under numbers of one digit, the only ones that every sh can close again; and its user."""
    for number, handle in kept.items():
        os.dup2(handle, number)
        os.set_inheritable(number, True)
    if drop:
        drop()


def status(folder: str, process: Mapping[str, int]) -> Optional[int]:
    """The command's exit status, None while it runs. :class:`Refusal` if it is gone without one (it was killed, or the host restarted)."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process["pid"], os.WNOHANG)  # where it is a child of this very process
    running = process["start"] and _processes.start_time(process["pid"]) == process["start"]
    code = exit_status(folder)
    if code is not None or running:
        return code
    raise Refusal("it is gone without an exit status: it was killed, or the host restarted")


def exit_status(folder: str) -> Optional[int]:
    """What a command in ``folder`` ended with; None if it has not, or never was."""
    text = _files.read(f"{folder}/status") if folder else None
    return int(text) if text is not None and text.strip().isdigit() else None


def output(folder: str) -> List[str]:
    """Its last lines."""
    try:
        with open(f"{folder}/output", "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL))
            return file.read().decode("utf-8", "replace").splitlines()[-_LINES:]
    except OSError:
        return []


def forget(folder: str) -> None:
    """Nothing of it is needed any more."""
    shutil.rmtree(folder, ignore_errors=True)
