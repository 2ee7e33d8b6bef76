"""A small web application for the driver tests; what is wrong with it is said by its environment.

``PORT``, ``BLUEGREEN_RELEASE``, ``BLUEGREEN_SLOT`` as the launcher exports them, and
``ERRORS`` (the share of its answers, but for health, that are 500) and ``TAKES`` (seconds that each of them takes), and
``FAULT``: ``broken`` (500 for everything), ``every_second`` (health right only every second time), ``one_answer`` (ends after
each health answer), ``deaf`` (listens nowhere), ``elsewhere`` (on port ``ELSEWHERE``), ``crash`` (ends with words on stderr),
``slow`` (a boot of ``BOOT`` seconds), ``daemon`` (leaves a process outside its tree with the port), ``heir`` (a child that
works on without the port until the file ``HOLD`` is there).
``/hold`` answers when the file ``HOLD`` is there; ``LISTEN``: ``child`` (a child listens, not itself), ``ipv6`` (on [::]),
``shared`` (SO_REUSEPORT). ``ASKED`` is a file that gets a line for each request but health checks.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULT = os.environ.get("FAULT", "")
LISTEN = os.environ.get("LISTEN", "")
ASKED = os.environ.get("ASKED", "")
HOLD = os.environ.get("HOLD", "")
ERRORS = float(os.environ.get("ERRORS", "0"))
TAKES = float(os.environ.get("TAKES", "0"))
PORT = int(os.environ["ELSEWHERE"] if FAULT == "elsewhere" else os.environ["PORT"])


def wait_for_hold() -> None:
    while not os.path.exists(HOLD):
        time.sleep(0.01)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_port = LISTEN == "shared"
    address_family = socket.AF_INET6 if LISTEN == "ipv6" else socket.AF_INET
    checks = 0

    def server_bind(self) -> None:
        if LISTEN == "ipv6":
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if LISTEN == "shared":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is not worth a traceback."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/health":
            self.health()
            return
        if ASKED:
            with open(ASKED, "a") as asked:
                asked.write(f"{self.path}\n")
        if self.headers.get("Upgrade") == "websocket":
            self.websocket()
            return
        if path == "/hold":
            Path(f"{HOLD}.begun").touch()
            wait_for_hold()
        if TAKES:
            time.sleep(TAKES * random.uniform(0.5, 1.5))
        self.answer(500 if FAULT == "broken" or random.random() < ERRORS else 200)

    do_POST = do_PUT = do_GET

    def health(self) -> None:
        self.server.checks += 1
        wrong = FAULT == "broken" or (FAULT == "every_second" and self.server.checks % 2)
        self.answer(500 if wrong else 200)
        if FAULT == "one_answer":
            self.wfile.flush()
            self.connection.close()
            os._exit(0)

    def answer(self, status: int) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        about = {
            "release": os.environ.get("BLUEGREEN_RELEASE"),
            "slot": os.environ.get("BLUEGREEN_SLOT"),
            "pid": os.getpid(),
            "path": self.path,
            "headers": dict(self.headers.items()),
            "bytes": len(body),
            "sum": hashlib.sha256(body).hexdigest(),
        }
        text = json.dumps(about).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.end_headers()
        self.wfile.write(text)

    def websocket(self) -> None:
        """Upgrade, then send back whatever comes."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        while data := self.connection.recv(4096):
            self.connection.sendall(data)
        self.close_connection = True

    def log_message(self, *words: object) -> None:
        """Quiet: the log is for what a test looks for."""


def main() -> None:
    print(f"release {os.environ.get('BLUEGREEN_RELEASE')} begins", flush=True)
    if FAULT == "crash":
        sys.exit("cannot find the database")
    if FAULT == "slow":
        time.sleep(float(os.environ["BOOT"]))
    if FAULT == "deaf":
        signal.pause()
    if LISTEN == "child" and os.fork():
        signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
        signal.pause()
    server = Server(("::" if LISTEN == "ipv6" else "127.0.0.1", PORT), Handler)
    if FAULT == "daemon" and os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
    elif FAULT == "heir" and os.fork() == 0:
        server.socket.close()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        wait_for_hold()
        os._exit(0)
    server.serve_forever(poll_interval=60)


if __name__ == "__main__":
    main()
