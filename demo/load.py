"""The load: the collection's own probe, with six kinds of clients, each of which checks every answer and tries nothing twice."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tools.probe import Kind, Probe

KEPT_GET, KEPT_POST, NEW_GET, SLOW, UPLOAD, SOCKET = "keep-alive GET", "keep-alive POST", "new connection", "3-second", "20-s upload", "WebSocket"
UPLOAD_SECONDS = 20.0
UPLOADS = 1 / 8  # that begin in a second: at any moment two or three are under way
_QUICK = (KEPT_GET, KEPT_POST, NEW_GET)
_FILE = "0123456789abcdef" * 12_800  # 200 kB
_MOST_SECONDS = 400.0  # the load ends by itself


def kinds(port: int, uploads: float = UPLOADS) -> tuple[Kind, ...]:
    """What is asked of the shop; ``uploads`` slow ones begin in a second."""
    url = f"http://127.0.0.1:{port}"
    order, digest = "order 1 of the demo", hashlib.sha256(_FILE.encode()).hexdigest()
    quick = {"timeout": 15.0}
    return (
        Kind(KEPT_GET, f"{url}/", rate=60.0, connections=6, expect_body='"greeting": "Welcome to the shop', **quick),
        Kind(KEPT_POST, f"{url}/echo", method="POST", body=order, rate=50.0, connections=5, expect_json={"echo": order}, **quick),
        Kind(NEW_GET, f"{url}/", keep=False, rate=30.0, connections=3, expect_body='"prices": {', **quick),
        Kind(SLOW, f"{url}/slow", keep=False, rate=1.0, connections=6, timeout=20.0, expect_json={"took": 3.0}),
        Kind(
            *(UPLOAD, f"{url}/echo"),
            method="POST",
            body=_FILE,
            body_seconds=UPLOAD_SECONDS,
            keep=False,
            rate=uploads,
            connections=6,
            timeout=60.0,
            expect_json={"length": len(_FILE), "sha256": digest},
        ),
        Kind(SOCKET, f"ws://127.0.0.1:{port}/ws", type="websocket", connections=2, timeout=5.0),  # a ticker: it listens
    )


class Load:
    """``async with Load(port) as load``: it runs inside, and has ended with its last answer after :meth:`finish`."""

    def __init__(self, port: int, uploads: float = UPLOADS) -> None:
        self._probe = Probe("demo", kinds(port, uploads), {"header": "X-Release"}, _MOST_SECONDS)

    async def __aenter__(self) -> Load:
        await _wholly(self._probe.__enter__)
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self._probe.kill()

    async def warm(self) -> None:
        """Until every kind of client but the slow ones had answers; 20 s at most."""
        deadline = time.monotonic() + 20
        while min(self.seen()["kinds"].get(kind, {"answered": 0})["answered"] for kind in _QUICK) < 30:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the application did not answer: {self.words()}")
            await asyncio.sleep(0.1)

    async def finish(self) -> dict[str, Any]:
        """No request is due any more, what is under way is answered; the probe's result."""
        return dict(await _wholly(self._probe.stop))

    def seen(self) -> Mapping[str, Any]:
        return self._probe.seen()

    def words(self) -> str:
        return words(self.seen())


async def _wholly(work: Any) -> Any:
    """Without holding up the pulse; what was begun is completed before anything else is done."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


def words(seen: Mapping[str, Any]) -> str:
    return f"{seen['due']:,} requests due, {seen['answered']:,} answered, {seen['failed']:,} failed, {seen['open']} under way"
