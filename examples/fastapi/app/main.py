"""Prices, asked for by HTTP and told by WebSocket. FastAPI behind uvicorn.

/health answers 200 once the prices are there. /slow takes three seconds: ask it during a release.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket, WebSocketDisconnect
from starlette.middleware.base import RequestResponseEndpoint

HERE = Path(__file__).resolve().parent
RELEASE = HERE.name  # the directory's name is the release: it shows which code answers, whatever the environment says
prices: dict[str, float] = {}


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    prices.update(json.loads((HERE / "prices.json").read_text()))
    yield
    # Here, after the last request, connections to databases and queues are closed.


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def tell_release(request: Request, call_next: RequestResponseEndpoint) -> Response:
    response = await call_next(request)
    response.headers["X-Release"] = RELEASE
    return response


@app.get("/health")
async def health() -> dict[str, str]:
    if not prices:
        raise HTTPException(503, "no prices")
    if not os.environ.get("PRICES_TOKEN"):
        raise HTTPException(503, "PRICES_TOKEN is not set")
    return {"status": "ok"}


@app.get("/prices/{name}")
async def price(name: str) -> dict[str, float]:
    if name not in prices:
        raise HTTPException(404, f"no price of {name}")
    return {name: prices[name]}


@app.get("/slow")
async def slow() -> dict[str, str]:
    await asyncio.sleep(3)
    return {"status": "done"}


@app.websocket("/ws")
async def ws(socket: WebSocket) -> None:
    """A name is asked, its price is answered. At the stop uvicorn says goodbye with code 1012: the client shall come back."""
    await socket.accept()
    try:
        while True:
            name = await socket.receive_text()
            await socket.send_json({name: prices.get(name)})
    except WebSocketDisconnect:
        pass
