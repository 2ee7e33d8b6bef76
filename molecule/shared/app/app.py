"""The service of the scenarios: answers with its release, slot and host."""

import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = json.dumps(
    {"release": os.environ["BLUEGREEN_RELEASE"], "slot": os.environ["BLUEGREEN_SLOT"], "host": socket.gethostname()},
).encode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    do_POST = do_GET

    def log_message(self, *_words: object) -> None:
        pass


ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
