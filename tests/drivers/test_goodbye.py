"""Long connections when their member is replaced: its application is told, clients leave one after the other, and whoever is left is ended.

The application is the one of examples/long-connections, so what users copy is what is tested.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import sys
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _goodbye, _stage
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Goodbye, Step, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.conftest import MakeFleet, next_service
from tests.drivers.shop import APPS, InProcess, Shop, altered, make_wish, new_ports, running, words
from tools.bed import PYTHON, ROOT, Bed, temporary, wait_until

EXAMPLE = ROOT / "examples" / "long-connections" / "python"
SIGNAL = Goodbye(signal="USR2", window=1.0, timeout=20.0)


class WideBed(Bed):
    """Room for two connections of each of a thousand clients, wherever they end up."""

    connections = 5000


@dataclass
class Chat(Shop):
    """The example as a service."""

    def stage(self, release: str, **environment: str) -> Wish:
        wish = replace(self.wish, release=release)
        archive = self.bed.path / "chat.tar"
        if not archive.exists():
            with tarfile.open(archive, "w") as tar:
                tar.add(EXAMPLE / "chat.py", "chat.py")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        told = {"LEDGER": f"{self.bed.path}/{wish.service}.ledger", "BLUEGREEN_DRAIN_WINDOW": f"{wish.goodbye.window:g}", **environment}
        _stage.stage(wish, _stage.Source("chat.tar", f"sha256:{digest}", str(archive)), _stage.Build(), told)
        return wish

    @property
    def ledger(self) -> Counter[str]:
        return Counter(Path(f"{self.bed.path}/{self.wish.service}.ledger").read_text().splitlines())

    def event(self, step: str, slot: str = "blue") -> Event:
        """How the step ended."""
        return next(told for told in self.told if isinstance(told, Event) and (told.step, told.member) == (step, self.id(slot)) and told.outcome != "waiting")


def make_chat(bed: Bed, made: list[Chat], goodbye: Goodbye = SIGNAL, **changes: Any) -> Chat:
    wish = make_wish(bed, next_service(), new_ports(), goodbye=goodbye, drain_timeout=0.5)
    made.append(Chat(bed, altered(wish, program={"command": (PYTHON, "chat.py"), "stop_timeout": 15}, boot_timeout=30.0, **changes)))
    return made[-1].released("v1")  # type: ignore[return-value]


@pytest.fixture
def made() -> Iterator[list[Chat]]:
    chats: list[Chat] = []
    yield chats
    for one in chats:
        one.remove()


class Client:
    """A WebSocket by hand, which does only what it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /ws HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(4096)
        assert b" 101 " in answer.splitlines()[0] + b" ", answer

    def goodbye(self) -> int:
        """Wait for the server's goodbye, and say it back; its code. 0 if the connection was cut without one."""
        head = self.socket.recv(4)
        if len(head) < 4 or head[0] & 15 != 8:
            return 0
        self.socket.sendall(bytes([0x88, 0x82, 0, 0, 0, 0]) + head[2:4])
        return int.from_bytes(head[2:4], "big")

    def is_open(self) -> bool:
        self.socket.settimeout(0.01)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(20)


@pytest.fixture
def clients() -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(contextlib.closing(Client(port).socket)) and None


def opened(stack: contextlib.ExitStack, port: int, count: int = 1) -> list[Client]:
    found = [Client(port) for _ in range(count)]
    for one in found:
        stack.enter_context(one.socket)
    return found


# Many clients


def result_of(folder: Path) -> dict[str, Any]:
    (folder / "end").touch()
    wait_until((folder / "result.json").exists, 60, "what the clients saw")
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


@pytest.mark.parametrize(
    ("clients", "window", "pause"), [(100, 5.0, 1.0), pytest.param(1000, 10.0, 2.0, marks=pytest.mark.full)], ids=["a hundred", "a thousand"]
)
def test_clients_leave_over_the_window_come_back_and_lose_no_acknowledged_message(
    clients: int, window: float, pause: float, made: list[Chat], tmp_path: Path
) -> None:
    with temporary(WideBed) as bed:
        chat = make_chat(bed, made, replace(SIGNAL, window=window, timeout=60.0))
        command = (PYTHON, str(APPS / "chatters.py"), f"ws://127.0.0.1:{chat.port}/ws", str(clients), str(pause), str(tmp_path))
        with running(*command, ready=lambda _pid: (tmp_path / "ready").exists(), seconds=60.0):
            done = chat.swap("v2")
            assert done.ok and done.reloads == 0, words(done, chat)
            seen = result_of(tmp_path)
        made.remove(chat)
        ledger = chat.ledger
    told, drained = chat.event("goodbye"), chat.event("drain")
    seconds = Counter(int(at - told.start) for at in seen["back"])
    print(f"{clients} clients: {len(seen['acknowledged'])} acknowledged, {sum(ledger.values())} written down; back by second {sorted(seconds.items())}")
    print(f"goodbye: {told.detail}; drain: {drained.detail}, {drained.seconds:.1f} s")
    assert told.detail.startswith("USR2 to pid") and told.detail.endswith(f"; {clients} connections, {window:g} s to leave")
    assert drained.outcome == "ok" and drained.detail.startswith(f"no connection left, {clients} left by themselves")
    assert not seen["cut"] and seen["codes"] == {"1012": clients}
    assert len(seen["back"]) == seen["connected"] == clients
    assert len(seen["acknowledged"]) >= 2 * clients
    assert not Counter(seen["acknowledged"]) - ledger, "a message was acknowledged and lost"
    assert max(seconds.values()) <= 3 * clients / window, "they came back like a herd"
