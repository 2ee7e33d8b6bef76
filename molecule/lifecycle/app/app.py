"""The service of the scenario: answers who it is, and with which configuration. ``FAULT`` as in v2/blue=crash ends that release in that slot."""

import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

RELEASE, SLOT = os.environ["BLUEGREEN_RELEASE"], os.environ["BLUEGREEN_SLOT"]
WHO = {"release": RELEASE, "slot": SLOT, "host": socket.gethostname(), "pid": os.getpid(), "settings": Path("etc/settings.ini").read_text()}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        received = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        body = json.dumps({**WHO, "bytes": received}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_words: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if os.environ["FAULT"] == f"{RELEASE}/{SLOT}=crash":
    sys.exit("it is broken on purpose")
Server(("", int(os.environ["PORT"])), Handler).serve_forever()
