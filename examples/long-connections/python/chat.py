"""A server of WebSockets and event streams whose clients leave in order before it is stopped. Python 3.8+ and aiohttp.

Before a member is stopped hotswap.bluegreen tells it so, by bluegreen_drain_signal: USR2 or bluegreen_drain_url: /drain.
Each client is then let go at a moment of its own, and comes back on another member. What goes on all the time: the
health path answers 200, and whoever comes in is served. It may be told twice, and it may never be stopped after that.

Every message is written to the file LEDGER before it is acknowledged.
"""

import asyncio
import contextlib
import os
import random
import signal

from aiohttp import WSMsgType, web

WINDOW = float(os.environ.get("BLUEGREEN_DRAIN_WINDOW", "10"))  # seconds
RELEASE = os.environ.get("BLUEGREEN_RELEASE", "none")
RESTART = 1012  # "service restart", see RFC 6455 and IANA's registry: the client shall come back

ledger = os.open(os.environ.get("LEDGER", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
staying = set()  # for each client that is here an event: its moment to leave


@contextlib.contextmanager
def client():
    """One client, for as long as it is here."""
    over = asyncio.Event()
    staying.add(over)
    try:
        yield over
    finally:
        staying.remove(over)


def goodbye(seconds=WINDOW):
    """Let every client that is here now go within so many seconds, each at a moment of its own."""
    for over in staying:
        asyncio.get_running_loop().call_later(random.uniform(0, seconds), over.set)


async def unless(over, work):
    """What the work gives; None if the moment to leave comes first."""
    work, leave = asyncio.ensure_future(work), asyncio.ensure_future(over.wait())
    await asyncio.wait({work, leave}, return_when=asyncio.FIRST_COMPLETED)
    leave.cancel()
    if work.done():
        return work.result()
    work.cancel()
    await asyncio.wait({work})
    return None


async def chat(request):
    """A message is acknowledged when it is safe; who gets no acknowledgement sends it again after coming back."""
    socket = web.WebSocketResponse(timeout=5)  # seconds for the client's own goodbye
    await socket.prepare(request)
    with client() as over, contextlib.suppress(ConnectionError):
        while (message := await unless(over, socket.receive())) and message.type is WSMsgType.TEXT:
            os.write(ledger, message.data.encode() + b"\n")
            await socket.send_str(message.data)
        await socket.close(code=RESTART, message=b"moving to another server")
    return socket


async def events(request):
    """Server-sent events. A browser comes back by itself, `retry` milliseconds after the end, and says what it saw last."""
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await stream.prepare(request)
    number = int(request.headers.get("Last-Event-ID", "0"))
    with client() as over, contextlib.suppress(ConnectionError):
        await stream.write(b"retry: 100\n\n")
        while not over.is_set():
            number += 1
            await stream.write(b"id: %d\ndata: %s\n\n" % (number, RELEASE.encode()))
            await unless(over, asyncio.sleep(0.5))
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
    for over in staying:
        over.set()


app = web.Application()
app.on_startup.append(begin)
app.on_shutdown.append(end)
app.add_routes([web.get("/ws", chat), web.get("/events", events), web.post("/drain", drain), web.get("/{path:.*}", about)])

if __name__ == "__main__":
    web.run_app(app, host=os.environ.get("BLUEGREEN_ADDRESS", "127.0.0.1"), port=int(os.environ["PORT"]), shutdown_timeout=5, access_log=None, print=None)
