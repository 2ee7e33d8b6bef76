"""A worker that writes down when it works: job.py NAME [once]. A line of the ledger is: name, release, pid, begin or end, time."""

import os
import signal
import sys
import threading
import time

NAME = sys.argv[1]


def note(what: str) -> None:
    line = f"{NAME} {os.environ['BLUEGREEN_RELEASE']} {os.getpid()} {what} {time.time():.3f}\n"
    handle = os.open(f"ledger/{NAME}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(handle, line.encode())
    os.close(handle)


done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: done.set())
note("begin")
if len(sys.argv) == 2:
    done.wait()
    time.sleep(0.2)  # what it is at is brought to its end
note("end")
