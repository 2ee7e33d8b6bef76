"""A greeter: GET / greets, /private only whoever brings the token, /health says whether it serves, /slow takes three seconds. Python 3.9+ alone.

The same file runs on Docker Swarm and on Kubernetes. The end is worth a look: Swarm sends SIGTERM in the very moment in which
it takes the task out of its routes, so requests still arrive for a while. They are answered, and their connections closed.
"""

import os
import pathlib
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELEASE = os.environ.get("BLUEGREEN_RELEASE", "")
GREETING = os.environ.get("GREETING", "Hello")
TOKEN = pathlib.Path(os.environ.get("TOKEN_FILE", "/run/secrets/token"))
DRAIN = float(os.environ.get("DRAIN", "3"))  # seconds for which requests still arrive after SIGTERM
stopping = threading.Event()


class Greeter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        self.server.busy(1)
        try:
            self.answer(*self.found())
        finally:
            self.server.busy(-1)

    def found(self):
        if self.path == "/health":
            return 200, "ok"
        if self.path == "/slow":
            time.sleep(3)
        if self.path == "/private" and self.headers.get("Authorization") != f"Bearer {TOKEN.read_text().strip()}":
            return 403, "the token is another one"
        return 200, f"{GREETING} from {os.uname().nodename}"

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("X-Release", RELEASE)
        self.send_header("Content-Length", str(len(body)))
        if stopping.is_set():  # this client asks elsewhere the next time
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True  # a connection that only waits for its next request holds nothing up
    request_queue_size = 128
    under_way = 0
    lock = threading.Lock()

    def busy(self, change):
        with self.lock:
            self.under_way += change


def stop(*_signal):
    stopping.set()
    threading.Timer(DRAIN, server.shutdown).start()


TOKEN.read_bytes()  # without its secret it ends here, and the release goes back
server = Server(("", int(os.environ.get("PORT", "8080"))), Greeter)
signal.signal(signal.SIGTERM, stop)
print(f"release {RELEASE} listens on {server.server_address[1]}", flush=True)
server.serve_forever(poll_interval=0.1)
while server.under_way:
    time.sleep(0.1)
