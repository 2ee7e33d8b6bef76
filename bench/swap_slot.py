"""The bare script: swaps slots one after the other with the same steps as ours, no Ansible, no framework, no guards.

What a good programmer writes in an hour for one machine, and so the floor to measure against. Its one argument is JSON:
{"slots": [{"name", "port", "program", "current"}], "release", "target", "active", "pools": {slot: pool without it},
"all": pool, "socket"}. Prints JSON: the seconds of each slot. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import time
import xmlrpc.client
from collections.abc import Callable
from typing import Any


class Connection(http.client.HTTPConnection):
    """HTTP to supervisord's unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> Connection:
        return Connection(self.path)


def link(target: str, path: str) -> None:
    """One atomic rename."""
    os.symlink(target, path + ".new")
    os.replace(path + ".new", path)


def wait(what: str, condition: Callable[[], Any], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.005)


def sockets(port: int) -> list[tuple[str, str]]:
    """(state, inode) of the IPv4 sockets whose own end is the port."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table if f":{port:04X} " in line]
    return [(row[3], row[9]) for row in rows if row[1].endswith(f":{port:04X}")]


def listens(pid: int, port: int) -> bool:
    """Whether the process itself holds the port's listening socket."""
    wanted = {f"socket:[{inode}]" for state, inode in sockets(port) if state == "0A"}
    try:
        held = {os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")}
    except OSError:
        return False
    return bool(wanted & held)


def healthy(port: int, release: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        return answer.status == 200 and answer.read().decode() == release
    except OSError:
        return False
    finally:
        connection.close()


def swap(order: dict[str, Any], slot: dict[str, Any], supervisor: Any) -> None:
    name, port = slot["program"], slot["port"]
    link(order["pools"][slot["name"]], order["active"])
    wait("drained", lambda: not [state for state, _ in sockets(port) if state in ("01", "04", "05", "08", "09", "0B")])
    supervisor.stopProcess(name, False)
    wait("stopped", lambda: supervisor.getProcessInfo(name)["pid"] == 0 and not [state for state, _ in sockets(port) if state == "0A"])
    link(order["target"], slot["current"])
    supervisor.startProcess(name, False)
    wait("healthy", lambda: listens(supervisor.getProcessInfo(name)["pid"], port) and healthy(port, order["release"]))
    link(order["all"], order["active"])


def main() -> None:
    order = json.loads(sys.argv[1])
    supervisor = xmlrpc.client.ServerProxy("http://localhost", transport=Transport(order["socket"])).supervisor
    seconds = []
    for slot in order["slots"]:
        began = time.monotonic()
        swap(order, slot, supervisor)
        seconds.append(time.monotonic() - began)
    print(json.dumps(seconds))


main()
