"""Clients of the chat, many in one process: each sends numbered messages, comes back when it is told to leave, and loses nothing.

``chatters.py URL CLIENTS PAUSE FOLDER``: a message each PAUSE seconds. ``FOLDER/ready`` is there when all are connected;
when ``FOLDER/end`` is there they stop, and ``FOLDER/result.json`` says what they saw: ``acknowledged`` messages, when each
client was ``back`` (epoch seconds), who was ``cut`` without a goodbye, which ``codes`` came, and who is ``connected``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

SECONDS = 120.0  # nothing here goes on for longer
PATIENCE = 15.0  # for one answer


@dataclass
class Seen:
    acknowledged: list[str] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    connected: int = 0


class Chatters:
    def __init__(self, url: str, pause: float, folder: Path) -> None:
        self.url, self.pause, self.folder = url, pause, folder
        self.seen = Seen()
        self.over = asyncio.Event()
        self.opening = asyncio.Semaphore(50)

    async def run(self, clients: int) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            self.session = session
            tasks = [asyncio.create_task(self.client(number)) for number in range(clients)]
            deadline = time.monotonic() + SECONDS
            while not self.over.is_set():
                if self.seen.connected == clients and not (self.folder / "ready").exists():
                    (self.folder / "ready").touch()
                if (self.folder / "end").exists() or time.monotonic() > deadline:
                    self.over.set()
                await asyncio.sleep(0.05)
            await asyncio.gather(*tasks)
        (self.folder / "result.part").write_text(json.dumps(vars(self.seen)))
        (self.folder / "result.part").rename(self.folder / "result.json")

    async def client(self, number: int) -> None:
        """One person: connected, or on the way back."""
        count, away = 0, False
        while True:
            try:
                async with self.opening:
                    socket = await self.session.ws_connect(self.url, timeout=aiohttp.ClientWSTimeout(ws_close=PATIENCE), autoping=True)
            except (aiohttp.ClientError, OSError) as error:
                self.seen.cut.append(f"client {number} cannot connect: {error!r}")
                await asyncio.sleep(1)
                if self.over.is_set():
                    return
                continue
            self.seen.connected += 1
            if away:
                self.seen.back.append(time.time())
            count, over = await self.talk(socket, number, count)
            if over:
                await socket.close()
                return
            self.seen.connected -= 1
            away = True

    async def talk(self, socket: aiohttp.ClientWebSocketResponse, number: int, count: int) -> tuple[int, bool]:
        """Send until the end of the connection, or of all; how many messages were acknowledged then."""
        await self.wait_for_end(socket, self.pause * (number % 100) / 100)
        while not socket.closed:
            if self.over.is_set():
                return count, True
            text = f"{number}:{count}"
            answer = None
            try:
                await socket.send_str(text)
                answer = await socket.receive(PATIENCE)
            except (ConnectionError, asyncio.TimeoutError) as error:
                self.seen.cut.append(f"client {number}: {error!r}")
                await socket.close()
                break
            if answer.type == aiohttp.WSMsgType.TEXT and answer.data == text:
                self.seen.acknowledged.append(text)
                count += 1
                await self.wait_for_end(socket, self.pause)
        self.note(number, socket.close_code)
        return count, False

    async def wait_for_end(self, socket: aiohttp.ClientWebSocketResponse, seconds: float) -> None:
        """Say nothing for so long, unless the server says something (goodbye, that is), or it is all over."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and not socket.closed and not self.over.is_set():
            try:
                await socket.receive(min(left, 0.5))
            except asyncio.TimeoutError:
                continue

    def note(self, number: int, code: int | None) -> None:
        self.seen.codes[str(code)] = self.seen.codes.get(str(code), 0) + 1
        if code not in (1000, 1001, 1012):
            self.seen.cut.append(f"client {number}: closed with {code}")


if __name__ == "__main__":
    url, clients, pause, folder = sys.argv[1:]
    asyncio.run(Chatters(url, float(pause), Path(folder)).run(int(clients)))
