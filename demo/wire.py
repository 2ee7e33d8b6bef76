"""HTTP/1.1 on a bare connection, with nothing done behind the caller's back.

A library's client quietly sends a request again when a kept connection turns out to be closed. Here every such thing is
a :class:`Failed`: what a person's browser or a payment service without retries would have seen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


class Failed(Exception):
    """A request without a right answer. ``kind``: refused, reset, closed, network, timeout, status or wrong."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True)
class Answer:
    """``headers`` has lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes


class Connection:
    """One TCP connection to 127.0.0.1. After :class:`Failed`, or an answer that says so, it is not ``usable``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.usable = True

    @classmethod
    async def open(cls, port: int) -> Connection:
        with _named_errors("connecting"):
            return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def ask(self, method: str, path: str, body: Iterable[bytes] = (), length: int = 0, pause: float = 0.0, keep: bool = True) -> Answer:
        """Send one request and read its answer; ``pause`` seconds after each piece of the body."""
        self.usable = False
        head = f"{method} {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {length}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        with _named_errors("sending"):
            self._writer.write(head.encode())
            for piece in body:
                self._writer.write(piece)
                await self._writer.drain()
                if pause:
                    await asyncio.sleep(pause)
            await self._writer.drain()
        with _named_errors("waiting for the answer"):
            answer = await self._read()
        self.usable = keep and answer.headers.get("connection", "").lower() != "close"
        return answer

    async def _read(self) -> Answer:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        if "content-length" not in headers:
            raise Failed("wrong", f"an answer without Content-Length: {lines[0]}")
        return Answer(int(lines[0].split()[1]), headers, await self._reader.readexactly(int(headers["content-length"])))

    def close(self) -> None:
        """Nothing more is sent or read."""
        self.usable = False
        self._writer.close()


@contextlib.contextmanager
def _named_errors(doing: str) -> Iterator[None]:
    try:
        yield
    except ConnectionRefusedError as error:
        raise Failed("refused", doing) from error
    except ConnectionError as error:
        raise Failed("reset", f"{doing}: {error}") from error
    except asyncio.IncompleteReadError as error:
        raise Failed("closed", f"{doing}: closed after {len(error.partial)} bytes") from error
    except OSError as error:
        raise Failed("network", f"{doing}: {error}") from error
