#!/usr/bin/python3
"""The application of the engines' tests; one image does all, by its first argument.

serve (which is the default): answers on PORT (8080) with ``X-Release`` and its host's name; ``/health``; ``/slow?seconds=N``;
``/env?name=X``; ``/file?path=P``. After SIGTERM it goes on for DRAIN seconds (4), its answers say ``Connection: close``, and it ends
when nothing is under way. migrate: a line with the release in the file MIGRATIONS, ends with MIGRATE_STATUS (0).
work: says its release each second until SIGTERM. APP_BROKEN is what is wrong with it: 500 (health), exit (at once), hang (no answers).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TextIO
from urllib.parse import parse_qsl, urlsplit

RELEASE = os.environ.get("APP_RELEASE", "")
BROKEN = os.environ.get("APP_BROKEN", "")
DRAIN = float(os.environ.get("DRAIN", "4"))
ended = threading.Event()


def say(text: str, stream: TextIO = sys.stdout) -> None:
    print(f"{time.strftime('%H:%M:%S')} {RELEASE}: {text}", file=stream, flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    under_way = 0
    lock = threading.Lock()

    def server_bind(self) -> None:
        """Not HTTPServer's, which asks for this host's full name: there is no name server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = socket.gethostname(), self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone is not worth a traceback."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.under_way += 1
        try:
            self.answer()
        finally:
            with self.server.lock:
                self.server.under_way -= 1

    do_POST = do_GET

    def answer(self) -> None:
        if BROKEN == "hang":
            time.sleep(3600)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = urlsplit(self.path)
        words = dict(parse_qsl(asked.query))
        status, body = 200, json.dumps({"release": RELEASE, "host": socket.gethostname()})
        if asked.path == "/health":
            status = 500 if BROKEN == "500" else 200
        elif asked.path == "/slow":
            time.sleep(float(words.get("seconds", "1")))
        elif asked.path == "/env":
            body = os.environ.get(words.get("name", ""), "")
        elif asked.path == "/file":
            status, body = read(words.get("path", ""))
        elif asked.path != "/":
            status = 404
        content = f"{body}\n".encode()
        self.send_response(status)
        self.send_header("X-Release", RELEASE)
        self.send_header("Content-Length", str(len(content)))
        if ended.is_set():
            self.send_header("Connection", "close")  # and the base class closes it
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not logged: the lines of a start and an end are to be found."""


def read(path: str) -> tuple[int, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return 200, file.read().rstrip("\n")
    except OSError as error:
        return 404, str(error)


def serve() -> int:
    if BROKEN == "exit":
        say("cannot start: the database does not know this release", sys.stderr)
        return 3
    server = Server(("0.0.0.0", int(os.environ.get("PORT", "8080"))), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    say("started")
    signal.sigwait({signal.SIGTERM})
    ended.set()
    say(f"told to end, drains for {DRAIN:g} s")
    time.sleep(DRAIN)
    server.shutdown()
    server.socket.close()
    while server.under_way and BROKEN != "hang":
        time.sleep(0.02)
    say("ended")
    return 0


def migrate() -> int:
    path = os.environ.get("MIGRATIONS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(f"{RELEASE}\n")
    say("migrated")
    return int(os.environ.get("MIGRATE_STATUS", "0"))


def work() -> int:
    say("works")
    while not signal.sigtimedwait({signal.SIGTERM}, 1):
        say("still works")
    say("ended its work")
    return 0


if __name__ == "__main__":
    # Awaited, not handled: a handler that sets an event stands still for ever if the event's lock is just taken.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    sys.exit({"serve": serve, "migrate": migrate, "work": work}[sys.argv[1] if len(sys.argv) > 1 else "serve"]())
