# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the user's, some at the same time, each with its children ended when its time is over or the watch ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import Dict, List, Mapping, Sequence, Tuple

_TAIL = 65536  # bytes of output that are looked at
_LOOK = 0.005  # seconds between looks at those that run


@dataclass(frozen=True)
class Ran:
    """How a command ended. ``missing`` says why it could not be run at all, ``late`` that its time was over."""

    ok: bool
    output: str = ""
    missing: str = ""
    late: bool = False


def run(commands: Sequence[Tuple[str, ...]], folder: str, environment: Mapping[str, str], seconds: float) -> List[Ran]:
    """Run them all, one for each core at a time, within ``seconds``; in their order."""
    done: Dict[int, Ran] = {}
    live: Dict[int, subprocess.Popen[bytes]] = {}
    end, waiting = time.monotonic() + seconds, list(range(len(commands)))
    with tempfile.TemporaryDirectory(prefix="bg-watch-") as outputs:
        try:
            while waiting or live:
                while waiting and len(live) < (os.cpu_count() or 1):
                    number = waiting.pop(0)
                    try:
                        live[number] = _start(commands[number], folder, environment, f"{outputs}/{number}")
                    except OSError as error:
                        done[number] = Ran(False, missing=f"{commands[number][0]}: {error.strerror}")
                late = time.monotonic() > end
                for number, process in list(live.items()):
                    if late or process.poll() is not None:
                        _end(live.pop(number))
                        done[number] = Ran(process.returncode == 0 and not late, _tail(f"{outputs}/{number}"), late=late)
                if late:
                    done.update({number: Ran(False, late=True) for number in waiting})
                    waiting.clear()
                if live:
                    time.sleep(_LOOK)
        finally:
            for process in live.values():
                _end(process)
    return [done[number] for number in range(len(commands))]


def _start(command: Tuple[str, ...], folder: str, environment: Mapping[str, str], output: str) -> subprocess.Popen[bytes]:
    """In a session of its own, so that what it starts ends with it."""
    with open(output, "wb") as out:
        return subprocess.Popen(command, cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """It and what it has left behind in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(path: str) -> str:
    with open(path, "rb") as output:
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL))
        return output.read().decode("utf-8", "replace")
