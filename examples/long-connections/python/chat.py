"""A server of WebSockets and event streams whose clients leave in order before it is stopped. Python 3.8+ and aiohttp.

Before a member is stopped hotswap.bluegreen tells it so, by bluegreen_drain_signal: USR2 or bluegreen_drain_url: /drain.
Each client is then let go at a moment of its own, and comes back on another member. What goes on all the time: the
health path answers 200, and whoever comes in is served. It may be told twice, and it may never be stopped after that.

Every message is written to the file LEDGER before it is acknowledged.
"""

import asyncio
import contextlib
import functools
import os
import random
import signal

from aiohttp import web

WINDOW = float(os.environ.get("BLUEGREEN_DRAIN_WINDOW", "10"))  # seconds
RELEASE = os.environ.get("BLUEGREEN_RELEASE", "none")
RESTART = 1012  # "service restart", see RFC 6455 and IANA's registry: the client shall come back

ledger = os.open(os.environ.get("LEDGER", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
staying = {}  # how each client that is here is told to leave
leaving = set()  # asyncio forgets tasks that nobody holds


@contextlib.contextmanager
def client(leave):
    """One client, for as long as it is here."""
    key = object()
    staying[key] = leave
    try:
        yield
    finally:
        staying.pop(key, None)


def goodbye(seconds=WINDOW):
    """Let every client that is here now go within so many seconds, not all at once."""
    for key in list(staying):
        task = asyncio.ensure_future(let_go(staying.pop(key), random.uniform(0, seconds)))
        leaving.add(task)
        task.add_done_callback(leaving.discard)


async def let_go(leave, seconds):
    await asyncio.sleep(seconds)
    await leave()


async def chat(request):
    """A message is acknowledged when it is safe; who gets no acknowledgement sends it again after coming back."""
    socket = web.WebSocketResponse(timeout=5)
    await socket.prepare(request)
    with client(functools.partial(socket.close, code=RESTART, message=b"moving to another server")):
        async for message in socket:
            os.write(ledger, message.data.encode() + b"\n")
            with contextlib.suppress(ConnectionError):  # it is leaving
                await socket.send_str(message.data)
    return socket


async def events(request):
    """Server-sent events. A browser comes back by itself, `retry` milliseconds after the end, and says what it saw last."""
    over = asyncio.Event()

    async def leave():
        over.set()

    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await stream.prepare(request)
    number = int(request.headers.get("Last-Event-ID", "0"))
    with client(leave), contextlib.suppress(ConnectionError):
        await stream.write(b"retry: 100\n\n")
        while not over.is_set():
            number += 1
            await stream.write(b"id: %d\ndata: %s\n\n" % (number, RELEASE.encode()))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(over.wait(), 0.5)
        await stream.write_eof()
    return stream


async def drain(request):
    goodbye(float(request.query.get("seconds", WINDOW)))
    return web.Response(status=202)


async def about(request):
    return web.Response(text=RELEASE, headers={"X-Release": RELEASE})


async def begin(app):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, goodbye)


async def end(app):
    """The stop: who is still here is ended now."""
    await asyncio.gather(*(leave() for leave in list(staying.values())), return_exceptions=True)


app = web.Application()
app.on_startup.append(begin)
app.on_shutdown.append(end)
app.add_routes([web.get("/ws", chat), web.get("/events", events), web.post("/drain", drain), web.get("/{path:.*}", about)])

if __name__ == "__main__":
    web.run_app(app, host=os.environ.get("BLUEGREEN_ADDRESS", "127.0.0.1"), port=int(os.environ["PORT"]), shutdown_timeout=5, access_log=None, print=None)
