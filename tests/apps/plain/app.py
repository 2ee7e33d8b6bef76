"""A small service for the scenarios: tells its release and slot; ADDRESS is where it listens, BOOT_SECONDS delays its start, CRASH ends it."""

from __future__ import annotations

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

if "CRASH" in os.environ:
    sys.exit(os.environ["CRASH"])
time.sleep(float(os.environ.get("BOOT_SECONDS", "0")))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        names = {"release": "BLUEGREEN_RELEASE", "slot": "BLUEGREEN_SLOT", "word": "WORD"}
        body = json.dumps({key: os.environ.get(name) for key, name in names.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


ThreadingHTTPServer((os.environ.get("ADDRESS", "127.0.0.1"), int(os.environ["PORT"])), Handler).serve_forever()
