"""Runs inside a private host: a service on the distribution's own nginx and supervisor, through ours. Prints what it saw as JSON."""

from __future__ import annotations

import http.client
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PLAYBOOK, COLLECTIONS = sys.argv[1:3]
WORK = Path("/run/work")
APP = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["BLUEGREEN_RELEASE"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
OTHER = "[program:other]\ncommand=/bin/sleep 1000\n"
seen: dict[str, Any] = {}


def sh(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL).stdout


def play(name: str, *words: str) -> str:
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "False"}
    result = subprocess.run(
        [PLAYBOOK, "-i", "inventory", f"hotswap.bluegreen.{name}", *words],
        cwd=WORK, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if result.returncode:
        sys.exit(f"{name} {words} failed:\n{result.stdout}\n{result.stderr}")
    return result.stdout


def changed(output: str) -> int:
    return sum(int(word.partition("=")[2]) for word in output.split() if word.startswith("changed="))


def get(path: str = "/", name: str = "shop.test") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": name})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Load(threading.Thread):
    """Requests one after the other on new connections, until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = False
        self.sent = 0
        self.failures: list[str] = []

    def run(self) -> None:
        end = time.monotonic() + 60
        while not self.stop and time.monotonic() < end:
            self.sent += 1
            try:
                status, body = get()
                if status != 200:
                    self.failures.append(f"{status} {body[:80]}")
            except OSError as error:
                self.failures.append(repr(error))


def pids() -> dict[str, int]:
    return {line.split()[0]: int(line.split()[3].rstrip(",")) for line in sh("supervisorctl", "status").splitlines() if "RUNNING" in line}


def main() -> None:
    WORK.mkdir()
    for release in ("v1", "v2"):
        (WORK / release).mkdir()
        (WORK / release / "app.py").write_text(APP)
    (WORK / "inventory").write_text("web1 ansible_connection=local ansible_python_interpreter=/usr/bin/python3\n")
    (WORK / "group_vars").mkdir()
    (WORK / "group_vars" / "all.json").write_text(json.dumps({
        "bluegreen_service": "shop", "bluegreen_user": "www-data", "bluegreen_server_name": "shop.test", "bluegreen_command": "/usr/bin/python3 app.py",
        "bluegreen_source": {"directory": str(WORK) + "/{{ bluegreen_release }}"}, "bluegreen_environment": {"SECRET": "hush"},
    }))  # fmt: skip
    Path("/etc/supervisor/conf.d/other.conf").write_text(OTHER)
    sh("service", "nginx", "start")
    sh("service", "supervisor", "start")
    time.sleep(1.5)

    seen["install changed"] = changed(play("install"))
    seen["install again changed"] = changed(play("install"))
    seen["default site"] = get(name="other.test")[0]
    play("release", "-e", "bluegreen_release=v1")
    seen["first"] = get()
    other = pids()["other"]
    load = Load()
    load.start()
    output = play("release", "-e", "bluegreen_release=v2")
    load.stop = True
    load.join()
    seen["load"] = {"sent": load.sent, "failures": load.failures[:5]}
    seen["second"] = get()
    before = pids()
    seen["again changed"] = changed(play("release", "-e", "bluegreen_release=v2"))
    seen["install after release changed"] = changed(play("install"))
    sh("supervisorctl", "update")
    seen["pids kept over a bare update"] = before == pids()
    seen["other's pid kept"] = pids()["other"] == other
    worker = Path(f"/proc/{pids()['shop-blue']}")
    seen["user"] = worker.stat().st_uid
    seen["www-data"] = int(sh("id", "-u", "www-data"))
    start = Path("/srv/shop/blue/.launch/v2")
    seen["start mode"] = stat.S_IMODE(start.stat().st_mode)
    seen["readable secrets"] = [
        str(path) for folder in ("/srv/shop", "/etc/supervisor", "/etc/nginx", "/var/log") for path in Path(folder).rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o044 and b"hush" in path.read_bytes()
    ]  # fmt: skip
    seen["output has the secret"] = "hush" in output
    print("SEEN " + json.dumps(seen))


main()
