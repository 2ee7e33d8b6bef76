# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand on the one program: what may be asked of supervisor, and who asks.

Whoever reaches supervisor's socket may stop and start every program, so the watch, which runs commands of a developer's directory, must not. Where
it is started as root it becomes two processes: this hand stays root and knows five orders about one program; the rest becomes the user.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
import xmlrpc.client
from typing import Any, Callable, Dict, Optional

from .. import _supervisor
from .._model import Refusal
from ._settings import RESTART, Settings

Ask = Callable[[str], Dict[str, Any]]
_LINES = 5  # last lines of the program's log


class Hand:
    """Does an order: ``look``, ``stop``, ``start``, ``signal`` or ``log``; what came of it, ``problem`` in words."""

    def __init__(self, settings: Settings) -> None:
        self._program, self._signal, self._where = settings.program, settings.reload, settings.supervisor

    def __call__(self, order: str) -> Dict[str, Any]:
        try:
            return self._do(_supervisor.connect(self._where), order)
        except Refusal as error:
            return {"problem": str(error)}
        except xmlrpc.client.Fault as fault:  # such as: supervisord itself is ending
            return {"problem": f"supervisor: {fault.faultString}"}

    def _do(self, client: _supervisor.Client, order: str) -> Dict[str, Any]:
        if order == "stop":
            client.stop(self._program)
        elif order == "start":
            client.start(self._program)
        elif order == "signal" and self._signal != RESTART:
            client.signal(self._program, self._signal)
        elif order == "log":
            return {"lines": client.log(self._program, lines=_LINES)[-_LINES:]}
        process = client.process(self._program)
        return {"state": process.state, "pid": process.pid, "spawn": process.problem}


class Asking:
    """The same orders through a socket, for the process that has given up its rights."""

    def __init__(self, line: socket.socket) -> None:
        self._line, self._answers = line, line.makefile("r", encoding="utf-8")

    def __call__(self, order: str) -> Dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            self._line.sendall(f"{order}\n".encode())
            found: Dict[str, Any] = json.loads(self._answers.readline())
            return found
        raise SystemExit("the watch's other process is gone")

    def gone(self) -> bool:
        """Whether nobody is there to ask any more."""
        with contextlib.suppress(BlockingIOError):
            return self._line.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        return False


def apart(settings: Settings) -> Ask:
    """Whom to ask. As root this returns in a process of the user's, while this one serves it, and ends with it."""
    hand = Hand(settings)
    if os.geteuid() != 0 or not settings.user or pwd.getpwnam(settings.user).pw_uid == 0:
        return hand
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child:
        theirs.close()
        raise SystemExit(_serve(ours, hand, child))
    ours.close()
    _become(settings.user)
    return Asking(theirs)


def _become(user: str) -> None:
    about = pwd.getpwnam(user)
    os.initgroups(user, about.pw_gid)
    os.setgid(about.pw_gid)
    os.setuid(about.pw_uid)
    os.environ.update(HOME=about.pw_dir, USER=user, LOGNAME=user, SHELL=about.pw_shell)


def _serve(line: socket.socket, hand: Ask, child: int) -> int:
    """Do the orders of the user's process until it ends; its exit status. What ends this one ends that one first."""

    def pass_on(number: int, _frame: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    with contextlib.suppress(ConnectionError), line.makefile("r", encoding="utf-8") as orders:
        for order in orders:
            line.sendall((json.dumps(hand(order.strip())) + "\n").encode())
    status = os.waitpid(child, 0)[1]
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1


def gone(ask: Ask) -> Optional[bool]:
    """Whether the process that is asked is gone; only another one can be."""
    return ask.gone() if isinstance(ask, Asking) else None
