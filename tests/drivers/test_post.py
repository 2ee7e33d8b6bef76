"""Messages to real servers that misbehave: how often each is asked, and what is said of it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _message, _post
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._notify_rules import Target

from tools.bed import free_ports

TOKEN = "T0KEN-that-nobody-may-see"
MESSAGE = _message.at_start(way="release", service="shop", release="v2", who="mia@ci", hosts=("app1",), members=1, at=1.0)

Behaviour = Callable[[socket.socket, threading.Event], None]


def answers(status: int, body: bytes = b"ok", headers: str = "") -> Behaviour:
    def behave(line: socket.socket, _over: threading.Event) -> None:
        line.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n".encode() + body)

    return behave


def hangs(_line: socket.socket, over: threading.Event) -> None:
    over.wait(20)


def resets(line: socket.socket, _over: threading.Event) -> None:
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def breaks_off(line: socket.socket, _over: threading.Event) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")


def drips(line: socket.socket, over: threading.Event) -> None:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not over.wait(0.05):
        line.sendall(b"x")


class Server:
    """Behaves in turn as it is told, the last way for ever, and remembers the first line of each request."""

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        self.asked: list[str] = []
        self._behaviours = behaviours
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/hook/{TOKEN}?key={TOKEN}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line = self._listener.accept()[0]
                self._threads.append(threading.Thread(target=self._serve, args=(line,)))
                self._threads[-1].start()

    def _serve(self, line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            line.settimeout(10)
            data = part = line.recv(65536)
            while part and not data.endswith(b"}") and not data.startswith(b"\x16"):  # the end of the JSON, or a TLS client's first words
                part = line.recv(65536)
                data += part
            self.asked.append(data.split(b"\r\n")[0].decode(errors="replace"))
            self._behaviours[min(len(self.asked), len(self._behaviours)) - 1](line, self._over)

    def close(self) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(*behaviours: Behaviour) -> Server:
        servers.append(Server(behaviours))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def send(*servers: Server, kind: str = "generic", timeout: float = 0.4, pauses: list[float] | None = None) -> dict[int, str]:
    targets = [Target(kind, server.url, secret="geheim" if kind == "dingtalk" else "", timeout=timeout) for server in servers]
    return _post.send(targets, MESSAGE, (pauses if pauses is not None else []).append)


@pytest.mark.parametrize(
    ("behaviours", "asked", "why"),
    [
        ([answers(200)], 1, ""),
        ([answers(500), answers(500), answers(200)], 3, ""),
        ([answers(503, b"busy")], 3, "it answered 503: busy (3 attempts)"),
        ([answers(404, b"no_service")], 1, "it answered 404: no_service"),
        ([resets, answers(200)], 2, ""),
        ([resets], 3, "it could not be reached: Connection reset by peer (3 attempts)"),
        ([hangs, answers(200)], 2, ""),
        ([hangs], 3, "it did not answer within 0.4 s (3 attempts)"),
        ([breaks_off, breaks_off, answers(200)], 3, ""),
        ([breaks_off], 3, "the connection broke off (3 attempts)"),
    ],
)
def test_a_server_is_asked_again_as_long_as_that_may_help(serve: Callable[..., Server], behaviours: Sequence[Behaviour], asked: int, why: str) -> None:
    server, pauses = serve(*behaviours), list[float]()
    assert send(server, pauses=pauses) == {0: why}
    assert len(server.asked) == asked
    assert pauses == [0.5, 1.5][: asked - 1]
    assert all(line.startswith(f"POST /hook/{TOKEN}?key={TOKEN} ") for line in server.asked)


def test_a_redirect_is_not_followed(serve: Callable[..., Server]) -> None:
    elsewhere = serve(answers(200))
    server = serve(answers(302, b"", f"Location: {elsewhere.url}\r\n"))
    assert send(server) == {0: "it answered 302: a redirect, which is not followed"}
    assert (len(server.asked), elsewhere.asked) == (1, [])


@pytest.mark.parametrize(
    ("kind", "body", "asked", "why"),
    [
        ("dingtalk", b'{"errcode": 310000, "errmsg": "sign not match"}', 1, "it answered 200 with errcode 310000: sign not match"),
        ("wecom", b'{"errcode": -1, "errmsg": "system busy"}', 3, "it answered 200 with errcode -1: system busy (3 attempts)"),
        ("feishu", b'{"code": 19001, "msg": "param invalid"}', 1, "it answered 200 with code 19001: param invalid"),
        ("feishu", b'{"code": 0, "msg": "success"}', 1, ""),
    ],
)
def test_a_refusal_that_is_answered_with_200_is_one(serve: Callable[..., Server], kind: str, body: bytes, asked: int, why: str) -> None:
    server = serve(answers(200, body))
    assert send(server, kind=kind) == {0: why}
    assert len(server.asked) == asked


def test_nobody_listens_there_is_said_without_the_url() -> None:
    target = Target("slack", f"http://127.0.0.1:{free_ports(1)[0]}/{TOKEN}")
    assert _post.send([target], MESSAGE, lambda _seconds: None) == {0: "it could not be reached: Connection refused (3 attempts)"}


def test_a_server_without_tls_is_said_at_once(serve: Callable[..., Server]) -> None:
    server = serve(answers(400))
    target = Target("slack", server.url.replace("http://", "https://"), timeout=5)
    assert _post.send([target], MESSAGE, lambda _seconds: None) == {0: "its TLS certificate is not accepted, or it speaks no TLS"}
    assert len(server.asked) == 1


def test_a_server_that_answers_a_byte_at_a_time_keeps_nobody(serve: Callable[..., Server]) -> None:
    slow, good = serve(drips), serve(answers(200))
    began = time.monotonic()
    assert send(slow, good, timeout=0.4) == {0: "it did not answer in full within 4 s", 1: ""}
    assert time.monotonic() - began < 30


def test_nothing_that_is_said_holds_a_token(serve: Callable[..., Server]) -> None:
    body = f"no such hook {TOKEN}".encode()
    said = [send(serve(behaviour))[0] for behaviour in (answers(400, body), resets, breaks_off, answers(302, body, f"Location: /{TOKEN}\r\n"))]
    assert all(said) and TOKEN not in str(said)
    assert said[0] == "it answered 400: no such hook …"
