"""A host that runs its service by hand already, through the playbooks: what is said, what is edited, and nobody notices."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tools import bed as beds

from . import plays

OLD = "web1", "web2"


def by_hand(bed: beds.Bed) -> Path:
    """Two programs of the user's own on the slots' ports, behind his own server block on the bed's port."""
    app, site = plays.APP / "app.py", bed.path / "conf.d" / "hand.conf"
    sections = [
        f'[program:{name}]\ncommand={beds.PYTHON} {app}\nstartsecs=0\nenvironment=PORT="{port}",BLUEGREEN_RELEASE="by hand",BLUEGREEN_SLOT="{name}"\n'
        for name, port in zip(OLD, (bed.blue, bed.green), strict=True)
    ]
    (bed.path / "programs" / "hand.conf").write_text("\n".join(sections))
    bed.supervisorctl("update")
    for port in (bed.blue, bed.green):  # a worker of nginx that meets one too early leaves it out for ten seconds
        beds.wait_until(lambda port=port: ask(port) == 200, 20, "the program by hand")
    servers = " ".join(f"server 127.0.0.1:{port};" for port in (bed.blue, bed.green))
    site.write_text(f"upstream hand {{ {servers} }}\nserver {{\n    listen 127.0.0.1:{bed.port};\n    location / {{ proxy_pass http://hand; }}\n}}\n")
    reload(bed)
    beds.wait_until(lambda: ask(bed.port) == 200, 20, "the service by hand")
    return site


def reload(bed: beds.Bed) -> None:
    workers = Path(f"/proc/{bed.nginx_pid}/task/{bed.nginx_pid}/children")
    before = set(workers.read_text().split())
    os.kill(bed.nginx_pid, signal.SIGHUP)
    beds.wait_until(lambda: not before & set(workers.read_text().split()), 20, "nginx's new workers")


def ask(port: int) -> int:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError:
        return 0


@contextmanager
def asked(bed: beds.Bed) -> Iterator[list[int]]:
    """A client that asks again and again, each time anew: every status it got, 0 for none."""
    found: list[int] = []
    over = threading.Event()

    def client() -> None:
        end = time.monotonic() + 600
        while not over.is_set() and time.monotonic() < end:
            found.append(ask(bed.port))
            time.sleep(0.01)

    thread = threading.Thread(target=client)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


@pytest.mark.full
def test_what_runs_by_hand_is_taken_over_as_the_messages_say_without_a_failed_request() -> None:
    def play(playbook: str, **more: Any) -> subprocess.CompletedProcess[str]:
        own = {key.removeprefix("bluegreen_"): value for key, value in plays.RELEASE.items()}
        return bed.playbook(f"hotswap.bluegreen.{playbook}", **{**own, "server": False, "adopt": dict(zip(("blue", "green"), OLD, strict=True)), **more})

    with beds.temporary() as bed:
        site = by_hand(bed)
        refused = play("install", adopt={})
        assert refused.returncode == 2
        assert "supervisor's program web1. Take it over with bluegreen_adopt: {blue: web1}" in refused.stdout
        with asked(bed) as statuses:
            assert play("install").returncode == 0
            told = play("release")
            assert told.returncode == 2
            line = re.search(r"put `(include \S+;)` in (\S+), line 4, in the place of `(proxy_pass http://hand;)`", told.stdout)
            assert line and line[2] == str(site), told.stdout
            site.write_text(site.read_text().replace(line[3], line[1]))
            reload(bed)
            done = play("release")
            assert done.returncode == 0, done.stdout
            assert play("release", release="v2").returncode == 0
        assert len(statuses) > 100 and set(statuses) == {200}
        assert all(name in done.stdout + done.stderr for name in OLD)
        rows = dict(line.split()[:2] for line in bed.supervisorctl("status").splitlines())
        assert rows == {"web1": "STOPPED", "web2": "STOPPED", "shop-blue": "RUNNING", "shop-green": "RUNNING"}
