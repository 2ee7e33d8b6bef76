"""Switches under load lose nothing, and an upload goes to the pool of the moment in which it is complete."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _declare, _files, _nginx, _site

from tests.drivers.conftest import MakeShop
from tests.drivers.shop import Load, Reply, Shop, read, web
from tools.bed import wait_until

_SWITCHES = 60
_SECONDS = 5.0


@pytest.fixture
def served(make_shop: MakeShop) -> Iterator[Shop]:
    """A service with a process on each port, and the pools in front."""
    shop = make_shop()
    with web(shop.wish.member("blue").port), web(shop.wish.member("green").port, "green"):
        _declare.declare(shop.wish)
        yield shop


def test_sixty_switches_under_keep_alive_get_and_post_lose_no_request(served: Shop) -> None:
    workers = served.workers()
    with Load(served.port, clients=6) as load:
        wait_until(lambda: load.total > 50, what="the load")
        began = time.monotonic()
        for number in range(_SWITCHES):
            assert served.serve("green" if number % 2 else "blue")
            due, seen = began + (number + 1) * _SECONDS / _SWITCHES, load.total
            wait_until(lambda due=due, seen=seen: time.monotonic() > due or load.total > seen + 20)
    assert load.failed == []
    assert set(load.answered) == {"blue v1", "green v1"}
    assert min(load.answered.values()) > _SWITCHES
    assert served.workers() == workers, "nginx was reloaded"


class Upload:
    """A POST whose body comes in two parts, with the time between them in the test's hand."""

    def __init__(self, port: int, chunked: bool) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._port, self._chunked = port, chunked
        length = "Transfer-Encoding: chunked" if chunked else "Content-Length: 60000"
        self._socket.sendall(f"POST /upload HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n".encode() + self._part())
        wait_until(self._is_read, what="nginx reading the first part of the body")

    def _part(self) -> bytes:
        data = b"x" * 30000
        return b"7530\r\n" + data + b"\r\n" if self._chunked else data

    def _is_read(self) -> bool:
        """nginx has accepted the connection and read all that was sent: the kernel holds nothing for it any more."""
        mine = f":{self._socket.getsockname()[1]:04X}"
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[1].endswith(f":{self._port:04X}") and columns[2].endswith(mine):
                return columns[4].endswith(":00000000") and columns[9] != "0"
        return False

    def finish(self) -> Reply:
        with self._socket:
            self._socket.sendall(self._part() + (b"0\r\n\r\n" if self._chunked else b""))
            answer = http.client.HTTPResponse(self._socket)
            answer.begin()
            return read(answer)


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_an_upload_begun_before_a_switch_goes_to_the_pool_of_its_last_byte(served: Shop, chunked: bool) -> None:
    for before, after in (("blue", "green"), ("green", "blue")) * 3:
        served.serve(before)
        upload = Upload(served.port, chunked)
        served.serve(after)
        reply = upload.finish()
        assert (reply.status, reply.slot, reply.body["bytes"]) == (200, after, 60000)


@pytest.mark.parametrize("chunked", [False, True], ids=["content-length", "chunked"])
def test_without_the_mirror_such_an_upload_reaches_the_drained_member(served: Shop, chunked: bool) -> None:
    """The test above can fail: with the mirror taken out, it is the wrong member that answers."""
    served.serve("blue")
    with without_mirror(served):
        upload = Upload(served.port, chunked)
        _files.link(served_link(served, "green"), _nginx.active_link(served.wish))
        assert upload.finish().slot == "blue"


def served_link(shop: Shop, slot: str) -> str:
    pools = _nginx.declared(shop.wish).items()
    return "pools/" + next(name for name, members in pools if [member.slot for member in members] == [slot])


@contextmanager
def without_mirror(shop: Shop) -> Iterator[None]:
    """The location file without its two lines about the mirror, loaded."""
    path = Path(_site.location_file(shop.wish, "http"))
    text = path.read_text()
    stripped = re.sub(r"^mirror.*;\n", "", text, flags=re.MULTILINE)
    assert text.count("\n") - stripped.count("\n") == 2
    path.write_text(stripped)
    _reload(shop)
    try:
        yield
    finally:
        path.write_text(text)
        _reload(shop)


def _reload(shop: Shop) -> None:
    """Load the files as they are, and wait until the old workers take nothing any more."""
    old = shop.workers()
    os.kill(shop.bed.nginx_pid, signal.SIGHUP)
    wait_until(lambda: shop.workers() and not shop.workers() & old, what="new workers")
