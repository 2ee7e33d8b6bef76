"""A small service for the scenarios: tells its release and slot; ADDRESS is where it listens, BOOT_SECONDS delays its start, CRASH ends it.

COMPLAINTS is a log for its errors; FAILS (a status) and SLOW (seconds) are how its answers, but for /health, go wrong.
"""

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
        if "COMPLAINTS" in os.environ:
            with open(os.environ["COMPLAINTS"], "a", encoding="utf-8") as log:
                log.write(f"ERROR in {os.environ.get('BLUEGREEN_RELEASE')}: no price list\n")
        names = {"release": "BLUEGREEN_RELEASE", "slot": "BLUEGREEN_SLOT", "word": "WORD"}
        body = json.dumps({key: os.environ.get(name) for key, name in names.items()}).encode()
        ill = self.path != "/health"
        time.sleep(float(os.environ.get("SLOW", "0")) if ill else 0)
        self.send_response(int(os.environ.get("FAILS", "200")) if ill else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        pass


ThreadingHTTPServer((os.environ.get("ADDRESS", "127.0.0.1"), int(os.environ["PORT"])), Handler).serve_forever()
