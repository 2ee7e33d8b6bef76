"""A small shop: prices, an echo, a slow report and a price ticker over a WebSocket.

Run as one release: its directory holds ``settings.json`` (the release's name and greeting) and the price list that the
settings name. Every answer says which release and which slot gave it, in the JSON and in the headers X-Release, X-Slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, web

HERE = Path(__file__).resolve().parent
SETTINGS = json.loads((HERE / "settings.json").read_text())
WHO = {"release": SETTINGS["release"], "slot": os.environ["BLUEGREEN_SLOT"]}
SLOW = 3.0  # seconds
TICK = 0.5  # seconds between two lines of the ticker
ECHO_LIMIT = 4096  # bytes; of a longer body only length and digest come back

TICKERS: web.AppKey[set[web.WebSocketResponse]] = web.AppKey("tickers")
TROUBLE: web.AppKey[set[str]] = web.AppKey("trouble")


def prices() -> Any:
    """The price list, read as it is needed: a release that lacks it starts well, and fails its health check."""
    return json.loads((HERE / SETTINGS["prices"]).read_text())


def answer(**more: Any) -> web.Response:
    return web.json_response({**WHO, **more})


async def health(_request: web.Request) -> web.Response:
    return answer(healthy=True, articles=len(prices()))


async def front(_request: web.Request) -> web.Response:
    return answer(greeting=SETTINGS["greeting"], prices=prices())


async def slow(_request: web.Request) -> web.Response:
    await asyncio.sleep(SLOW)
    return answer(took=SLOW)


async def echo(request: web.Request) -> web.Response:
    """The body, or what proves that all of it arrived."""
    body = await request.read()
    text = body.decode() if len(body) <= ECHO_LIMIT else None
    return answer(echo=text, length=len(body), sha256=hashlib.sha256(body).hexdigest())


async def ticker(request: web.Request) -> web.WebSocketResponse:
    """A line every half a second for as long as the client stays."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    tickers = request.app[TICKERS]
    tickers.add(socket)
    ticking = asyncio.create_task(tick(socket))
    try:
        async for _message in socket:
            pass
    finally:
        ticking.cancel()
        tickers.discard(socket)
    return socket


async def tick(socket: web.WebSocketResponse) -> None:
    number = 0
    with contextlib.suppress(ConnectionError):
        while not socket.closed:
            await socket.send_json({**WHO, "number": number})
            number += 1
            await asyncio.sleep(TICK)


async def say_goodbye(app: web.Application) -> None:
    """On SIGTERM: those who would never leave are told to."""
    tickers = app[TICKERS]
    for socket in tuple(tickers):
        await socket.close(code=WSCloseCode.GOING_AWAY, message=b"this slot stops")


async def sign(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Release"], response.headers["X-Slot"] = WHO["release"], WHO["slot"]


@web.middleware
async def report(request: web.Request, handler: Any) -> web.StreamResponse:
    """What goes wrong is said in the answer, and once in the log."""
    try:
        response: web.StreamResponse = await handler(request)
    except OSError as error:
        words = f"{request.path}: {error}"
        if words not in request.app[TROUBLE]:
            request.app[TROUBLE].add(words)
            print(words, file=sys.stderr, flush=True)
        return web.json_response({**WHO, "error": words}, status=500)
    return response


def application() -> web.Application:
    app = web.Application(middlewares=[report], client_max_size=16 << 20)
    app[TICKERS] = set()
    app[TROUBLE] = set()
    app.on_response_prepare.append(sign)
    app.on_shutdown.append(say_goodbye)
    app.add_routes(
        [
            web.get("/", front),
            web.get("/health", health),
            web.get("/slow", slow),
            web.post("/echo", echo),
            web.get("/ws", ticker),
        ]
    )
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None, print=lambda *_words: None)
