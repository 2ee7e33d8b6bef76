"""The application of the chaos test: answers who it is, slowly if asked, streams, and stops as its environment says.

``GET``/``POST /`` and ``/slow?seconds=3`` answer JSON: host, slot, release, pid, and how many bytes came in.
``/stream?seconds=3`` sends a line of that every tenth of a second and ends in order: after its time, or when told to stop.
``/health`` is 200, or 503 where the release is ill.

``STOP``: ``graceful`` (the default: no new connection, what is under way is finished) or ``abrupt`` (gone with the signal).
``FAULT``: ``<release>/<slot>=crash`` ends that release in that slot with words on stderr, ``=ill`` makes it answer everything
but its health check, so that nobody but the check keeps clients from it, ``=errors`` answers one of ten requests with 500.
Without a slot it is so in both.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time

SLOT, RELEASE = os.environ["BLUEGREEN_SLOT"], os.environ["BLUEGREEN_RELEASE"]
_where, _, _what = os.environ.get("FAULT", "").partition("=")
FAULT = _what if _where in (RELEASE, f"{RELEASE}/{SLOT}") else ""
ABRUPT = os.environ.get("STOP") == "abrupt"
TICK = 0.1  # seconds
GRACE = 20.0  # seconds for what is under way


def who(received: int) -> bytes:
    return json.dumps({"host": socket.gethostname(), "slot": SLOT, "release": RELEASE, "pid": os.getpid(), "bytes": received}).encode() + b"\n"


def seconds(query: str) -> float:
    return min(30.0, float(query.partition("seconds=")[2] or 3))


class App:
    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self.busy = 0  # requests under way
        self.idle: set[asyncio.StreamWriter] = set()  # connections without a request
        self.empty = asyncio.Event()  # nothing is under way any more, and it shall stop

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not self.stopping.is_set():
                self.idle.add(writer)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.idle.discard(writer)
                self.busy += 1
                try:
                    await self.request(head, reader, writer)
                finally:
                    self.busy -= 1
                    self.look()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            self.idle.discard(writer)
            writer.close()

    async def request(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *headers = head.split("\r\n")
        names = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
        received = len(await reader.readexactly(int(names.get("content-length", 0))))
        path, _, query = first.split()[1].partition("?")
        if path == "/stream":
            await self.stream(writer, seconds(query))
            return
        if path == "/slow":
            await asyncio.sleep(seconds(query))
        status = "503 Service Unavailable" if path == "/health" and FAULT == "ill" else "200 OK"
        if FAULT == "errors" and path == "/" and random.random() < 0.1:
            status = "500 Internal Server Error"
        body = who(received)
        close = "Connection: close\r\n" if self.stopping.is_set() else ""
        writer.write(f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{close}\r\n".encode() + body)
        await writer.drain()

    async def stream(self, writer: asyncio.StreamWriter, length: float) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n")
        line = who(0)
        end = time.monotonic() + length
        while time.monotonic() < end and not self.stopping.is_set():
            writer.write(b"%x\r\n%s\r\n" % (len(line), line))
            await writer.drain()
            await asyncio.sleep(TICK)
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    def stop(self) -> None:
        if ABRUPT:
            os._exit(0)
        self.stopping.set()
        for writer in self.idle:
            writer.close()
        self.look()

    def look(self) -> None:
        if self.stopping.is_set() and not self.busy:
            self.empty.set()


async def main() -> None:
    app = App()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, app.stop)
    # Members of a fleet are reached from the balancers, so it listens on every address.
    server = await asyncio.start_server(app.connection, "0.0.0.0", int(os.environ["PORT"]), backlog=256)
    await app.stopping.wait()
    server.close()
    try:
        await asyncio.wait_for(app.empty.wait(), GRACE)
    except asyncio.TimeoutError:
        print(f"{app.busy} requests were not finished within {GRACE:g} s", file=sys.stderr)
    os._exit(0)  # tasks of idle connections are not worth waiting for


if FAULT == "crash":
    sys.exit(f"release {RELEASE} cannot start in slot {SLOT}: it is broken on purpose")
asyncio.run(main())
