"""The ordinary way, for contrast: two slots, nginx with ``backup``, and a script that restarts them one after the other.

Nothing is drained: nginx finds out by itself that a slot is gone. All else is as good as the ordinary way is: graceful
stop, the standby first, and a wait for 200 before the next slot.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

from tools.bed import Bed

from .screen import Screen

_SITE = """\
upstream shop {{
    server 127.0.0.1:{blue};
    server 127.0.0.1:{green} backup;
}}
map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
server {{
    listen 127.0.0.1:{port};
    client_max_body_size 50m;
    location / {{
        proxy_pass http://shop;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
    }}
}}
"""
_PROGRAM = """\
[program:shop-{slot}]
command={python} shop.py
directory={folder}/{slot}
environment=PORT="{port}",BLUEGREEN_SLOT="{slot}"
autorestart=true
redirect_stderr=true
stdout_logfile={folder}/{slot}.log
"""
_PATIENCE = 60.0  # seconds; the script itself would poll for ever


class OrdinaryBed(Bed):
    """The same two slots, set up by hand: files written before nginx and supervisord start."""

    def __init__(self, path: Path, releases: Mapping[str, Path], first: str) -> None:
        super().__init__(path)
        self._releases = releases
        self._first = first

    def start_nginx(self) -> None:
        (self.path / "conf.d" / "shop.conf").write_text(_SITE.format(port=self.port, blue=self.blue, green=self.green))
        super().start_nginx()

    def start_supervisor(self) -> None:
        for slot, port in (("blue", self.blue), ("green", self.green)):
            self.point(slot, self._first)
            text = _PROGRAM.format(slot=slot, port=port, folder=self.path, python=sys.executable)
            (self.path / "programs" / f"{slot}.conf").write_text(text)
        super().start_supervisor()

    def point(self, slot: str, release: str) -> None:
        """Let the slot's directory be this release."""
        new = self.path / f"{slot}.new"
        new.symlink_to(self._releases[release])
        os.replace(new, self.path / slot)


async def script(bed: OrdinaryBed, screen: Screen, release: str, patience: float = _PATIENCE) -> float:
    """The script; how many seconds it took. TimeoutError after ``patience`` seconds in which a slot did not answer 200."""
    began = time.monotonic()
    for slot, port in (("green", bed.green), ("blue", bed.blue)):
        screen.line(f"ln -sfn releases/{release} {slot}; supervisorctl restart shop-{slot}", indent="   $ ")
        bed.point(slot, release)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "supervisor.supervisorctl", "-c", f"{bed.path}/supervisord.conf", "restart", f"shop-{slot}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        said, _ = await process.communicate()
        for line in said.decode(errors="replace").splitlines():
            screen.line(line, indent="   | ")
        screen.line(f"until curl -fs http://127.0.0.1:{port}/health; do sleep 0.1; done", indent="   $ ")
        await until_healthy(port, patience)
    return time.monotonic() - began


async def until_healthy(port: int, patience: float = _PATIENCE) -> None:
    """Poll until the slot answers 200, but not for ever as the script would."""
    deadline = time.monotonic() + patience
    while not await healthy(port):
        if time.monotonic() > deadline:
            raise TimeoutError(f"port {port} did not become healthy within {patience:g} s")
        await asyncio.sleep(0.1)


async def healthy(port: int) -> str:
    """``release slot`` of a slot that answers its health check with 200, asked directly; else ''."""
    return await asyncio.to_thread(_asked, port)


def _asked(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return f"{answer.headers['x-release']} {answer.headers['x-slot']}"
    except (OSError, HTTPException):
        return ""
