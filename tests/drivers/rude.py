"""Servers that misbehave on purpose, on raw sockets, and count what they were asked: HTTP and WebSockets."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

GOOD = b'HTTP/1.1 200 OK\r\nX-Release: v1\r\nContent-Length: 26\r\n\r\n{"app": {"release": "v1"}}'
_HALF = b"HTTP/1.1 200 OK\r\nX-Release: v1\r\nContent-Length: 100\r\n\r\nhalf of it"
_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Server:
    """``with Server() as server``. What it does is said by a request's path; ``asked`` counts them, ``did`` what was done beside answering."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.asked: Counter[str] = Counter()
        self.did: Counter[str] = Counter()
        self.headers: list[str] = []
        self.stalled = threading.Event()
        self.connections = 0
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._over = False

    def __enter__(self) -> Server:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self._over = True
        self.stalled.clear()
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def _accept(self) -> None:
        while not self._over:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(connection)
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            connection = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
            buffer, count = b"", 0
            while not self._over:
                while b"\r\n\r\n" not in buffer:
                    buffer += _received(connection)
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                text = head.decode("latin-1")
                length = next((int(line.split(":")[1]) for line in text.split("\r\n") if line.lower().startswith("content-length")), 0)
                while len(buffer) < length:
                    buffer += _received(connection)
                buffer = buffer[length:]
                path, count = text.split()[1], count + 1
                with self._lock:
                    self.asked[path] += 1
                    self.headers.append(text)
                if not self._behave(path, connection, count, text):
                    break
        connection.close()

    def _behave(self, path: str, connection: socket.socket, count: int, head: str) -> bool:
        """Answer; whether the connection goes on."""
        if path.startswith("/ws"):
            self._websocket(path, connection, head)
            return False
        return _WAYS[path](self, connection, count)

    def note(self, what: str) -> None:
        with self._lock:
            self.did[what] += 1

    # WebSockets.

    def _websocket(self, path: str, connection: socket.socket, head: str) -> None:
        if path == "/ws-forbidden":
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        key = next(line.split(":")[1].strip() for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.encode() + _KEY).digest()).decode()
        answer = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX-Release: v1\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        connection.sendall(answer.encode())
        number = 0
        if path == "/ws-ticker":
            for number in range(4):
                connection.sendall(frame(f"tick {number}".encode()))
                time.sleep(0.05)
            connection.sendall(frame(struct.pack("!H", 1012), 8))
            self.note("goodbye")
            time.sleep(0.2)
            return
        while True:
            opcode, data = _frame(connection)
            if opcode == 8:
                self.note("client left")
                return
            number += 1
            self.note("message")
            if path == "/ws-silent":
                continue
            if path == "/ws-crossing" and number == 2:  # it leaves the message unanswered
                self.note("goodbye")
                time.sleep(0.05)  # a probe that is stopped now has it under way
                connection.sendall(frame(struct.pack("!H", 1001), 8))
                time.sleep(0.2)
                return
            if path == "/ws-cut-busy" and number == 2:
                self.note("cut")
                return
            connection.sendall(frame(b"news"))  # not an answer
            connection.sendall(frame(b"echo " + data))
            if number < 3:
                continue
            if path == "/ws-goodbye":
                connection.sendall(frame(struct.pack("!H", 1001), 8))
                self.note("goodbye")
                time.sleep(0.2)
                return
            if path == "/ws-error":
                connection.sendall(frame(struct.pack("!H", 1011), 8))
                self.note("cut")
                time.sleep(0.2)
                return
            if path == "/ws-cut":
                self.note("cut")
                return


def frame(data: bytes, opcode: int = 1) -> bytes:
    return bytes([0x80 | opcode, len(data)]) + data


def _frame(connection: socket.socket) -> tuple[int, bytes]:
    first, second = _exactly(connection, 2)
    mask, data = _exactly(connection, 4), _exactly(connection, second & 0x7F)
    return first & 0xF, bytes(letter ^ mask[number % 4] for number, letter in enumerate(data))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += _received(connection, size - len(data))
    return data


def _received(connection: socket.socket, size: int = 65536) -> bytes:
    data = connection.recv(size)
    if not data:
        raise EOFError
    return data


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def _good(_server: Server, connection: socket.socket, _count: int) -> bool:
    connection.sendall(GOOD)
    return True


def _reset(_server: Server, connection: socket.socket, _count: int) -> bool:
    connection.sendall(_HALF)
    time.sleep(0.02)  # it arrives before the reset
    reset(connection)
    return False


def _half(_server: Server, connection: socket.socket, _count: int) -> bool:
    connection.sendall(_HALF)
    return False


def _no_answer(_server: Server, _connection: socket.socket, _count: int) -> bool:
    return False


def _hang(server: Server, _connection: socket.socket, _count: int) -> bool:
    while not server._over:
        time.sleep(0.02)
    return False


def _drip(server: Server, connection: socket.socket, _count: int) -> bool:
    """Each wait is short, and it never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while not server._over:
        connection.sendall(b"x")
        time.sleep(0.03)
    return False


def _says(text: bytes) -> Callable[[Server, socket.socket, int], bool]:
    def say(_server: Server, connection: socket.socket, _count: int) -> bool:
        connection.sendall(text)
        return True

    return say


def _chunks_that_end(_server: Server, connection: socket.socket, _count: int) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\nhal")
    return False


def _slow(_server: Server, connection: socket.socket, _count: int) -> bool:
    time.sleep(0.3)
    connection.sendall(GOOD)
    return True


def _idle(server: Server, connection: socket.socket, _count: int) -> bool:
    """Closes what is kept, long before the next request."""
    connection.sendall(GOOD)
    server.note("closed idle")
    return False


def _second(server: Server, connection: socket.socket, count: int) -> bool:
    """Closes with the second request of a connection on its way."""
    if count == 2:
        server.note("closed busy")
        return False
    connection.sendall(GOOD)
    return True


def _stalling(server: Server, connection: socket.socket, _count: int) -> bool:
    while server.stalled.is_set():
        time.sleep(0.002)
    connection.sendall(GOOD)
    return True


_WAYS: dict[str, Callable[[Server, socket.socket, int], bool]] = {
    "/good": _good,
    "/reset": _reset,
    "/half": _half,
    "/no-answer": _no_answer,
    "/hang": _hang,
    "/drip": _drip,
    "/502": _says(b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 3\r\n\r\nbad"),
    "/redirect": _says(b"HTTP/1.1 302 Found\r\nLocation: /good\r\nContent-Length: 0\r\n\r\n"),
    "/wrong": _says(b"HTTP/1.1 200 OK\r\nX-Release: v2\r\nContent-Length: 5\r\n\r\nwrong"),
    "/garbage": _says(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "/cookie": _says(b"HTTP/1.1 200 OK\r\nSet-Cookie: session=1; Path=/\r\nContent-Length: 0\r\n\r\n"),
    "/chunks": _chunks_that_end,
    "/slow": _slow,
    "/idle": _idle,
    "/second": _second,
    "/stalling": _stalling,
}
