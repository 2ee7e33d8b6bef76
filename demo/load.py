"""The clients: twenty-one at once, each of which checks every answer it gets, and none of which tries anything twice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import aiohttp

from .tally import Tally, Upload, Visit
from .wire import Answer, Connection, Failed

KEPT_GET, KEPT_POST, NEW_GET, SLOW, UPLOAD, SOCKET = "keep-alive GET", "keep-alive POST", "new connection", "3-second", "20-s upload", "WebSocket"
CLIENTS = {KEPT_GET: 6, KEPT_POST: 5, NEW_GET: 3, SLOW: 3, UPLOAD: 2, SOCKET: 2}

_PAUSE = 0.03  # seconds between two requests of a quick client
_PIECES, _PIECE = 100, b"0123456789abcdef" * 128  # an upload: 200 kB
_UPLOAD_SECONDS = 20.0
_SLOW_SECONDS = 3.0
_QUICK_PATIENCE, _SLOW_PATIENCE, _UPLOAD_PATIENCE = 15.0, 20.0, 60.0  # seconds until a request counts as failed
_SILENCE = 5.0  # seconds without a line of the ticker until it counts as broken off
_MOST_SECONDS, _MOST_REQUESTS = 150.0, 200_000  # the load ends by itself
_AGAIN = 0.1  # seconds between two attempts to open a WebSocket


class Load:
    """``async with Load(port, uploads) as load``: the clients run inside, and have ended with their last answer after :meth:`finish`."""

    def __init__(self, port: int, uploads: int) -> None:
        """``uploads``: how many slow ones begin at once, one after the other; one more begins with :meth:`cue`."""
        self.tally = Tally()
        self._port = port
        self._uploads = [uploads, 1]
        self._cue = asyncio.Event()
        self._ending = False
        self._tasks: list[asyncio.Task[None]] = []
        self._uploaders: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Load:
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        makers: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
            KEPT_GET: self._kept_get,
            KEPT_POST: self._kept_post,
            NEW_GET: self._new_get,
            SLOW: self._slow,
            UPLOAD: self._upload,
            SOCKET: self._visitor,
        }
        clients = {kind: [asyncio.create_task(makers[kind](number)) for number in range(count)] for kind, count in CLIENTS.items()}
        self._tasks = [task for tasks in clients.values() for task in tasks]
        self._uploaders = clients[UPLOAD]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._ending = True  # wait_for may swallow a cancellation (Python before 3.12)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def warm(self) -> None:
        """Until every kind of client but the slow ones had answers, and the WebSockets are open; 20 s at most."""
        quick = (KEPT_GET, KEPT_POST, NEW_GET)
        deadline = time.monotonic() + 20
        while min(self.tally.answered[kind] for kind in quick) < 50 or len(self.tally.visits) < CLIENTS[SOCKET]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"the application did not answer: {self.tally.words()}; {self.tally.failures[:3]}")
            self._raise_for_a_dead_client()
            await asyncio.sleep(0.05)

    def cue(self) -> None:
        """The moment for the second slow upload to begin, if it has not."""
        self._cue.set()

    async def finish(self) -> Tally:
        """The slow upload comes to its end under the load of the others, then every client ends with the answer it waits for.

        The visits are still to be judged.
        """
        self._uploads = [0, 0]  # no further one
        self._cue.set()
        await asyncio.wait(self._uploaders)
        self._ending = True
        await asyncio.gather(*self._tasks)
        return self.tally

    def _raise_for_a_dead_client(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def _goes_on(self) -> bool:
        return not self._ending and time.time() - self.tally.began < _MOST_SECONDS and self.tally.total < _MOST_REQUESTS

    # The clients. Each request due is counted as sent before anything is done for it.

    async def _kept_get(self, _number: int) -> None:
        await self._keep(KEPT_GET, lambda connection, _count: connection.ask("GET", "/"), _check_front)

    async def _kept_post(self, number: int) -> None:
        def ask(connection: Connection, count: int) -> Awaitable[Answer]:
            body = _order(number, count)
            return connection.ask("POST", "/echo", [body], len(body))

        await self._keep(KEPT_POST, ask, lambda answer, count: _check_echo(answer, _order(number, count)))

    async def _keep(self, kind: str, ask: Callable[[Connection, int], Awaitable[Answer]], check: Callable[[Answer, int], str]) -> None:
        """One connection for as long as it is usable; a request on a kept one that turns out to be closed has failed."""
        connection: Connection | None = None
        count = 0
        try:
            while self._goes_on():
                count += 1
                began = time.monotonic()
                with self._due(kind) as due:
                    if not (connection and connection.usable):
                        if connection:
                            connection.close()
                        connection = await _within(Connection.open(self._port), _QUICK_PATIENCE)
                    due.release = check(await _within(ask(connection, count), _QUICK_PATIENCE), count)
                self.tally.slowest = max(self.tally.slowest, time.monotonic() - began)
                await asyncio.sleep(_PAUSE)
        finally:
            if connection:
                connection.close()

    async def _new_get(self, _number: int) -> None:
        while self._goes_on():
            await self._once(NEW_GET, "/", _QUICK_PATIENCE)
            await asyncio.sleep(_PAUSE)

    async def _slow(self, number: int) -> None:
        await asyncio.sleep(number)  # so that one is always in its middle
        while self._goes_on():
            began = time.monotonic()
            await self._once(SLOW, "/slow", _SLOW_PATIENCE)
            while self._goes_on() and time.monotonic() - began < _SLOW_SECONDS:  # one that failed at once is no reason to ask more often
                await asyncio.sleep(_PAUSE)

    async def _once(self, kind: str, path: str, patience: float) -> None:
        with self._due(kind) as due:
            connection = await _within(Connection.open(self._port), patience)
            try:
                due.release = _check(await _within(connection.ask("GET", path, keep=False), patience))[0]
            finally:
                connection.close()

    async def _upload(self, number: int) -> None:
        if number:
            await self._cue.wait()
        while self._uploads[number] > 0 and self._goes_on():
            self._uploads[number] -= 1
            began = time.time()
            with self._due(UPLOAD) as due:
                connection = await _within(Connection.open(self._port), _QUICK_PATIENCE)
                try:
                    pieces, length = [_PIECE] * _PIECES, _PIECES * len(_PIECE)
                    asked = connection.ask("POST", "/echo", pieces, length, pause=_UPLOAD_SECONDS / _PIECES, keep=False)
                    release, slot, content = _check(await _within(asked, _UPLOAD_PATIENCE))
                finally:
                    connection.close()
                wanted = (length, hashlib.sha256(_PIECE * _PIECES).hexdigest())
                if (content.get("length"), content.get("sha256")) != wanted:
                    raise Failed("wrong", f"{content.get('length')} bytes arrived of {length}, or others")
                due.release = release
                self.tally.uploads.append(Upload(began, time.time(), release, slot))

    async def _visitor(self, number: int) -> None:
        """A WebSocket that never leaves: when it ends, this client comes back at once."""
        last: Visit | None = None
        while self._goes_on() or _is_due_back(last):
            visit = await self._visit(last)
            if visit:
                last = visit
            else:
                await asyncio.sleep(_AGAIN)

    async def _visit(self, last: Visit | None) -> Visit | None:
        """One visit, from the handshake to the end. None if it did not come about, which is a failed request."""
        assert self._session
        self.tally.sent[SOCKET] += 1
        visit: Visit | None = None
        try:
            socket = await _within(self._session.ws_connect(f"http://127.0.0.1:{self._port}/ws", autoping=True), _QUICK_PATIENCE)
            try:
                while True:
                    message = await _within(socket.receive(), _SILENCE)
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        break
                    if visit is None:
                        line = json.loads(message.data)
                        visit = Visit(line["release"], line["slot"], time.time())
                        self.tally.visits.append(visit)
                        if last:
                            last.back = visit.opened - last.ended
                    if not self._goes_on():
                        visit.by_client = True
                        break
                how = f"close code {socket.close_code}"
            except Failed as error:
                how = str(error)
            finally:
                # The end is noted before a goodbye that nobody may answer.
                ended = time.time()
                await socket.close()
        except (Failed, aiohttp.ClientError, OSError) as error:
            how, ended = f"{type(error).__name__}: {error}", time.time()
        if visit is None:
            self.tally.fail(SOCKET, "handshake", how)
        else:
            visit.ended, visit.how = ended, how
        return visit

    @contextlib.contextmanager
    def _due(self, kind: str) -> Iterator[_Due]:
        """A request that is due: it ends as answered or as failed."""
        self.tally.sent[kind] += 1
        due = _Due()
        try:
            yield due
        except Failed as error:
            self.tally.fail(kind, error.kind, error.detail)
        else:
            self.tally.succeed(kind, due.release)


def _is_due_back(last: Visit | None) -> bool:
    """Cut off as the load ended: whether it could come back is asked all the same, for a while."""
    return last is not None and not last.by_client and time.time() - last.ended < _QUICK_PATIENCE


class _Due:
    release = ""


async def _within(work: Awaitable[Any], seconds: float) -> Any:
    try:
        return await asyncio.wait_for(work, seconds)
    except (asyncio.TimeoutError, TimeoutError):  # two classes before Python 3.11
        raise Failed("timeout", f"nothing within {seconds:g} s") from None


def _order(number: int, count: int) -> bytes:
    return f"order {count} of client {number}".encode()


def _check(answer: Answer) -> tuple[str, str, dict[str, Any]]:
    """Release, slot and content of a right answer."""
    if answer.status != 200:
        who = f"from {answer.headers['x-release']} {answer.headers.get('x-slot')}" if "x-release" in answer.headers else "from nginx, no slot answered"
        raise Failed(f"status {answer.status}", who)
    try:
        content: dict[str, Any] = json.loads(answer.body)
        release, slot = content["release"], content["slot"]
    except (ValueError, KeyError, TypeError):
        raise Failed("wrong", f"not an answer of the shop: {answer.body[:120]!r}") from None
    if (answer.headers.get("x-release"), answer.headers.get("x-slot")) != (release, slot):
        raise Failed("wrong", f"headers and content disagree about who answered: {answer.headers} {content}")
    return release, slot, content


def _check_front(answer: Answer, _count: int) -> str:
    release, _slot, content = _check(answer)
    if not str(content.get("greeting", "")).endswith(release) or not content.get("prices"):
        raise Failed("wrong", f"the page is not that of release {release}: {answer.body[:120]!r}")
    return release


def _check_echo(answer: Answer, body: bytes) -> str:
    release, _slot, content = _check(answer)
    if content.get("echo") != body.decode():
        raise Failed("wrong", f"sent {body!r}, echoed {content.get('echo')!r}")
    return release
