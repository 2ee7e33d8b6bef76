"""Bounded load on the entry points of a fleet: keep-alive GET and POST, three-second requests, streams. All is recorded.

It runs in a thread of its own with one event loop, light enough for two cores that do everything else as well: about a
hundred requests a second in all. A client whose request failed waits :data:`BACK_OFF` before it asks again, so that an
outage costs a number of requests that can be told in advance.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from .record import Record

THINK = 0.03  # seconds between two requests of a keep-alive client, for each entry that there is: more entries, not more load
BACK_OFF = 0.5  # seconds after one that failed
PATIENCE = 40.0  # seconds for an answer: longer than nginx waits for a member, so that nginx says whom it waited for
SLOW = 3.0  # seconds that a slow request and a stream take
LONGEST = 900.0  # seconds: the load ends by itself then
BODY = b"x" * 2000
CLIENTS = ("get", "get", "post", "post", "slow", "stream")  # of each entry
_PATHS = {"get": "/", "post": "/", "slow": f"/slow?seconds={SLOW:g}", "stream": f"/stream?seconds={SLOW:g}"}


class Wrong(Exception):
    """The answer is not what was asked for."""


@dataclass
class _Answer:
    """An answer as far as it came."""

    status: int = 0
    upstream: str = ""
    body: bytes = b""
    close: bool = False


class _Client:
    """One client of one entry, one request after the other."""

    def __init__(self, load: Load, entry: str, kind: str) -> None:
        self._load, self._entry, self._kind = load, entry, kind
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._opened = 0.0

    async def run(self) -> None:
        try:
            while not self._load.over:
                record = await self._ask()
                self._load.records.append(record)
                await asyncio.sleep(BACK_OFF if record.failed else THINK * len(self._load.entries))
        finally:
            self._close()

    async def _ask(self) -> Record:
        start = time.monotonic()
        answer, error = _Answer(), ""
        try:
            await asyncio.wait_for(self._request(answer), PATIENCE)
            error = self._wrong(answer)
        except asyncio.TimeoutError:  # another class on Python 3.10
            error = f"no answer within {PATIENCE:g} s"
        except (OSError, EOFError, Wrong, ValueError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        said = _said(answer.body)
        if error or answer.close:
            self._close()
        return Record(
            kind=self._kind,
            entry=self._entry,
            start=start,
            end=time.monotonic(),
            opened=self._opened or start,
            status=answer.status,
            host=str(said.get("host", "")),
            slot=str(said.get("slot", "")),
            release=str(said.get("release", "")),
            pid=int(str(said.get("pid", 0))),
            upstream=answer.upstream,
            error=error,
        )

    async def _request(self, answer: _Answer) -> None:
        if self._streams and self._streams[0].at_eof():
            self._close()  # seen to be closed before anything was sent: no request was lost
        if not self._streams:
            self._opened = time.monotonic()
            self._streams = await asyncio.open_connection(*self._load.entries[self._entry])
        reader, writer = self._streams
        body = BODY if self._kind == "post" else b""
        head = f"{'POST' if body else 'GET'} {_PATHS[self._kind]} HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        await _read(reader, answer)

    def _wrong(self, answer: _Answer) -> str:
        if answer.status != 200:
            return f"status {answer.status}"
        expected = len(BODY) if self._kind == "post" else 0
        found = _said(answer.body)
        if found.get("bytes") != expected:
            return f"the answer says {answer.body[:80]!r}, {expected} bytes were sent"
        return ""

    def _close(self) -> None:
        if self._streams:
            self._streams[1].close()
        self._streams = None
        self._opened = 0.0


async def _read(reader: asyncio.StreamReader, answer: _Answer) -> None:
    """Read an answer to its end, into ``answer``: what came before a failure is worth knowing."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    answer.status = int(head[0].split()[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    answer.upstream = headers.get("x-upstream", "")
    answer.close = headers.get("connection", "") == "close"
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline() or b"-", 16):  # no line at all is no end in order
            answer.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    else:
        answer.body = await reader.readexactly(int(headers.get("content-length", 0)))


def _said(body: bytes) -> Mapping[str, object]:
    """The application's account of itself: the first line of what came."""
    try:
        said = json.loads(body.partition(b"\n")[0])
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


class Load:
    """``with Load({"app1": (address, port)}) as load``: clients at every entry until the block ends."""

    def __init__(self, entries: Mapping[str, tuple[str, int]], kinds: Sequence[str] = CLIENTS) -> None:
        self.entries, self.kinds = dict(entries), kinds
        self.records: list[Record] = []
        self._end = threading.Event()
        self._deadline = time.monotonic() + LONGEST
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    @property
    def clients(self) -> int:
        """How many requests are under way at most, at any moment."""
        return len(self.kinds) * len(self.entries)

    @property
    def over(self) -> bool:
        return self._end.is_set() or time.monotonic() > self._deadline

    def stop(self) -> None:
        """No new request from now on; what is under way is answered until the block ends."""
        self._end.set()

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.stop()
        self._thread.join(PATIENCE + 10)

    async def _run(self) -> None:
        await asyncio.gather(*(_Client(self, entry, kind).run() for entry in self.entries for kind in self.kinds))
