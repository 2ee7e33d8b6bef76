"""A server of WebSockets in the standard library alone: what comes is sent back with who did it. Plain requests are answered with that, too.

When it is told (USR2) each client is let go at a moment of its own within BLUEGREEN_DRAIN_WINDOW seconds; DEAF makes it not listen.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import signal
import socket

WINDOW = float(os.environ.get("BLUEGREEN_DRAIN_WINDOW", "0"))
CLOSE, RESTART = 8, 1012
staying: set[asyncio.Event] = set()


def who(received: int) -> bytes:
    about = {"host": socket.gethostname(), "slot": os.environ["BLUEGREEN_SLOT"], "release": os.environ["BLUEGREEN_RELEASE"], "pid": os.getpid()}
    return json.dumps({**about, "bytes": received}).encode()


def frame(kind: int, body: bytes) -> bytes:
    length = bytes([len(body)]) if len(body) < 126 else bytes([126]) + len(body).to_bytes(2, "big")
    return bytes([0x80 | kind]) + length + body


async def received(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """One frame of a client, which masks it: its kind and its body."""
    kind, length = await reader.readexactly(2)
    size = length & 127
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    body = await reader.readexactly(size)
    return kind & 15, bytes(byte ^ mask[number % 4] for number, byte in enumerate(body))


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, over: asyncio.Event) -> None:
    """Until the client has said goodbye, of itself or because it was told to."""
    leaving, reading = asyncio.ensure_future(over.wait()), asyncio.ensure_future(received(reader))
    kind, told = -1, False
    while kind != CLOSE:
        await asyncio.wait({reading} if told else {reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if over.is_set() and not told:
            writer.write(frame(CLOSE, RESTART.to_bytes(2, "big")))
            told = True
        if reading.done():
            kind, body = reading.result()
            reading = asyncio.ensure_future(received(reader))
            if not told:  # else it gets no answer, and asks again where it goes
                writer.write(frame(CLOSE, body) if kind == CLOSE else frame(1, who(len(body))))
    leaving.cancel()
    reading.cancel()


async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            names = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.split("\r\n"))}
            if names.get("upgrade", "").lower() != "websocket":
                await reader.readexactly(int(names.get("content-length", 0)))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(who(0)), who(0)))
                continue
            digest = hashlib.sha1((names["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            accept = base64.b64encode(digest).decode()
            writer.write(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
            over = asyncio.Event()
            staying.add(over)
            try:
                await talk(reader, writer, over)
            finally:
                staying.remove(over)
            return
    except (OSError, asyncio.IncompleteReadError):
        pass  # the client is gone
    finally:
        writer.close()


def goodbye() -> None:
    for over in staying if not os.environ.get("DEAF") else ():
        asyncio.get_running_loop().call_later(random.uniform(0, WINDOW), over.set)


async def main() -> None:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    loop.add_signal_handler(signal.SIGUSR2, goodbye)
    await asyncio.start_server(connection, "0.0.0.0", int(os.environ["PORT"]), backlog=256)  # the balancer is another host
    await stopping.wait()
    os._exit(0)  # who is still here is cut: that is what the goodbye is for


asyncio.run(main())
