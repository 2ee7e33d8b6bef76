"""One health check against servers that answer as they please."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _health
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health

from tests.drivers.shop import free_ports


@contextmanager
def answering(*pieces: bytes, pause: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """A server that sends ``pieces`` to whoever asks, ``pause`` seconds apart, and keeps what it was asked."""
    asked: list[bytes] = []
    over = threading.Event()

    def serve(listener: socket.socket) -> None:
        with listener:
            while not over.is_set():
                try:
                    client, _ = listener.accept()
                except OSError:
                    continue
                with client:
                    try:
                        asked.append(client.recv(65536))
                        for piece in pieces:
                            client.sendall(piece)
                            if over.wait(pause):
                                break
                    except OSError:
                        continue

    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    thread = threading.Thread(target=serve, args=(listener,), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        over.set()
        thread.join(5)


def answer(status: str = "200 OK", body: bytes = b"fine", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def check(port: int, **wanted: object) -> tuple[bool, str]:
    return _health.check("127.0.0.1", port, Health(**{"timeout": 2.0, **wanted}))  # type: ignore[arg-type]  # each test gives values of the right types


def test_the_expected_status_is_healthy() -> None:
    with answering(answer()) as (port, asked):
        assert check(port, path="/up?full=1", request_headers={"Host": "shop.example", "X-Probe": "1"}) == (True, "status 200")
    assert asked[0].startswith(b"GET /up?full=1 HTTP/1.1\r\n")
    assert b"Host: shop.example\r\n" in asked[0] and b"X-Probe: 1\r\n" in asked[0] and b"Connection: close\r\n" in asked[0]


def test_one_of_several_statuses_is_healthy() -> None:
    with answering(answer("204 No Content", b"")) as (port, _):
        assert check(port, statuses=(200, 204))[0]
        assert check(port) == (False, "status 204")


@pytest.mark.parametrize("status", ["500 Oops", "404 Not Found", "503 Busy"])
def test_another_status_is_not(status: str) -> None:
    with answering(answer(status)) as (port, _):
        assert check(port) == (False, f"status {status.split()[0]}")


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with answering(answer()) as (fine, there), answering(answer("302 Found", b"", f"Location: http://127.0.0.1:{fine}/")) as (port, _):
        assert check(port) == (False, "status 302")
        assert check(port, statuses=(302,))[0]
    assert there == []


def test_the_body_must_hold_the_expected_text() -> None:
    with answering(answer(body="größe: ok".encode())) as (port, _):
        assert check(port, body="größe: ok")[0]
        healthy, seen = check(port, body="ready")
    assert not healthy and seen == "status 200, a body without 'ready': 'größe: ok'"


def test_a_header_must_have_the_expected_value() -> None:
    with answering(answer("200 OK", b"", "X-Release: v2")) as (port, _):
        assert check(port, header={"x-release": "v2"})[0]
        assert check(port, header={"X-Release": "v3"}) == (False, "status 200, header X-Release: v2")
        assert check(port, header={"X-Other": "1"}) == (False, "status 200, header X-Other: (absent)")


def test_nobody_there_is_said_so() -> None:
    (port,) = free_ports(1)
    healthy, seen = check(port)
    assert not healthy and "refused" in seen


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([b""] * 100, id="nothing at all"),
        pytest.param([b"HTTP/1.1 200 OK\r\n"] + [b"X: 1\r\n"] * 100, id="headers without end"),
        pytest.param([b"HTTP/1.1 200 OK\r\n\r\n"] + [b"x"] * 100, id="a body byte by byte"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"] + [b"x"] * 100, id="a body with its length byte by byte"),
    ],
)
def test_an_answer_that_is_not_complete_in_time_is_too_slow(pieces: list[bytes]) -> None:
    with answering(*pieces, pause=0.1) as (port, _):
        began = time.monotonic()
        assert check(port, timeout=0.3) == (False, "no answer within 0.3 s")
        assert time.monotonic() - began < 5, "it would take 10 s to read it all"


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00\xff\xfe garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_no_answer(garbage: bytes) -> None:
    with answering(garbage) as (port, _):
        healthy, seen = check(port)
    assert not healthy
    assert seen.startswith("no answer: ") and len(seen) > len("no answer: ")


def test_an_endless_body_is_not_read_to_its_end() -> None:
    with answering(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 1000) as (port, _):
        assert check(port, timeout=10.0) == (True, "status 200")


def expectation(ask: Callable[[Health], str] = _health.expectation) -> str:
    return ask(Health("/up", (200, 204), "ready", {"X-Release": "v2"}, timeout=1.5, successes=4))


def test_the_expectation_is_told_in_words() -> None:
    assert expectation() == "GET /up answers 200 or 204 with 'ready' in its body with header X-Release: v2 within 1.5 s, 4 times in a row"
