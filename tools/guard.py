"""Ends what a bed has started when the process that made the bed is gone, however it went.

python guard.py DIRECTORY    with a pipe as standard input, which the bed's process alone holds open
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time


def main(folder: str) -> None:
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)
    sys.stdin.buffer.read()
    for name in ("supervisord.pid", "nginx.pid"):
        with contextlib.suppress(OSError, ValueError), open(f"{folder}/{name}", encoding="ascii") as file:
            _end(int(file.read()), folder)
    if os.path.basename(folder).startswith("bg-"):
        shutil.rmtree(folder, ignore_errors=True)


def _end(pid: int, folder: str) -> None:
    """End the process, if it is the bed's still: its command names the directory. A process that is gone is an OSError."""
    for sign, seconds in ((signal.SIGTERM, 40.0), (signal.SIGKILL, 10.0)):
        if not _is_of(pid, folder):
            return
        os.kill(pid, sign)
        deadline = time.monotonic() + seconds
        while _is_of(pid, folder) and time.monotonic() < deadline:
            time.sleep(0.05)


def _is_of(pid: int, folder: str) -> bool:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return folder.encode() in file.read()


if __name__ == "__main__":
    main(sys.argv[1])
