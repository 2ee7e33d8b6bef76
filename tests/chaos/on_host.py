"""Runs on a test host, with its own Python: looks at it, or ends supervisord with all that it started. Prints JSON.

python3 on_host.py look '{"blue": 9502}'    members, pools, lock and strays, as they are
python3 on_host.py tree                     the pids of supervisord and all that it started
python3 on_host.py stop                     the same, when supervisord has ended in order
python3 on_host.py kill                     the same, when all were killed
python3 on_host.py watch 300                a line whenever the pool in use changes, for so many seconds
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

STATE = Path("/etc/nginx/bluegreen/shop")
ROOT = Path("/srv/shop")


def out(*command: str) -> str:
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False).stdout


def ask(port: int, path: str) -> tuple[int, dict[str, object]]:
    """(status, what it said); (0, {}) for nobody."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()


def listeners(port: int) -> list[int]:
    """The pids that listen on the port."""
    return sorted({int(pid) for pid in re.findall(r"pid=(\d+)", out("ss", "-Hltnp", f"sport = :{port}"))})


def programs() -> dict[str, tuple[str, int]]:
    """(state, pid) of each program of the service, as supervisor says."""
    found = {}
    for line in out("supervisorctl", "status").splitlines():
        match = re.match(r"(\S+)\s+([A-Z]+)\s*(?:pid (\d+))?", line)
        if match:
            found[match[1]] = (match[2], int(match[3] or 0))
    return found


def serving() -> list[str] | None:
    """The members of the pool in use, None where there is no balancer."""
    try:
        members = json.loads((STATE / "active" / "members.json").read_text())
        return sorted(f"{member['host']}/{member['slot']}" for member in members)
    except (OSError, ValueError):
        return None


def strays(known: set[int]) -> list[int]:
    """Processes of the application that supervisor does not know."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"app.py" in words and int(entry.name) not in known:
                found.append(int(entry.name))
    return found


def look(ports: dict[str, int]) -> dict[str, object]:
    told = programs()
    slots = {}
    for slot, port in ports.items():
        state, pid = told.get(f"shop-{slot}", ("ABSENT", 0))
        health, _ = ask(port, "/health")
        _, said = ask(port, "/")
        current = ROOT / slot / "current"
        link = os.path.basename(os.readlink(current)) if current.is_symlink() else ""
        slots[slot] = {**said, "state": state, "supervised": pid, "listeners": listeners(port), "health": health, "current": link}
    lease = STATE / "lease.json"
    return {
        "slots": slots,
        "serving": serving(),
        "lease": json.loads(lease.read_text() or "{}") if lease.exists() else {},
        "strays": strays({pid for _, pid in told.values()}),
        "now": time.time(),
    }


def tree() -> list[int]:
    """supervisord, and every process below it."""
    parents: dict[int, list[int]] = {}
    root = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(entry.name))
            if any(word.endswith(b"/supervisord") for word in (entry / "cmdline").read_bytes().split(b"\0")[:2]):
                root = int(entry.name)
    found, left = [], [root] if root else []
    while left:
        pid = left.pop()
        found.append(pid)
        left += parents.get(pid, [])
    return found


def kill() -> list[int]:
    """As the loss of the machine would: supervisord first, so that it brings nobody back."""
    killed: list[int] = []
    while pids := tree():
        killed += pids
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 5
        while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.01)
    return killed


def stop() -> list[int]:
    """supervisord in order, with all its programs. Debian's own script does not wait, and its "restart" starts nothing."""
    pids = tree()
    os.kill(pids[0], signal.SIGTERM)
    deadline = time.monotonic() + 40
    while tree() and time.monotonic() < deadline:
        time.sleep(0.02)
    return pids


def watch(seconds: float) -> None:
    """Every change of the pool in use, as a line of JSON: time, members."""
    end, last = time.monotonic() + seconds, ""
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            pool = os.readlink(STATE / "active")
            if pool != last:
                last = pool
                print(json.dumps([time.time(), serving()]), flush=True)
        time.sleep(0.01)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "watch":
        watch(float(words[0]))
    else:
        print(json.dumps(look(json.loads(words[0])) if what == "look" else {"tree": tree, "stop": stop, "kill": kill}[what]()))
