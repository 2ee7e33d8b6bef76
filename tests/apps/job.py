"""A program without a port that records in the directory LEDGER who runs, and whether two of it ever do at the same time.

JOB_FAULT: ``crash`` ends at once, ``deaf`` hears no TERM, ``orphan`` leaves a daemon behind that has closed all its files,
``brief`` ends after it has recorded itself.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

LEDGER = os.environ["LEDGER"]
FAULT = os.environ.get("JOB_FAULT", "")


def record(word: str) -> None:
    line = f"{word} {os.getpid()} {os.environ.get('BLUEGREEN_RELEASE')} {os.environ.get('HOST', '')} {time.time():.3f}\n"
    handle = os.open(f"{LEDGER}/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(handle, line.encode())
    os.close(handle)


def leave_an_orphan() -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 64)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
        os._exit(0)


def main() -> None:
    if FAULT == "crash":
        sys.exit("cannot find the queue")
    lock = open(f"{LEDGER}/lock", "a")  # noqa: SIM115  # it is held until the end of the process
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        record("start")
    except BlockingIOError:
        record("overlap")
    if FAULT == "orphan":
        leave_an_orphan()
    if FAULT == "brief":
        return
    ended: list[int] = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN if FAULT == "deaf" else lambda *_: ended.append(1))
    while not ended:
        time.sleep(0.02)
    record("end")


if __name__ == "__main__":
    main()
