# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One client's connection for HTTP: a request is sent once, as it is. No redirect, no cookie, no proxy, no second attempt.

A kept connection that turns out to be closed before anything was sent is opened anew, as every client does; one that
ends with a request on its way has failed it.
"""

from __future__ import annotations

import copy
import socket
import time
from contextlib import suppress
from http.client import IncompleteRead
from typing import Any, Iterator, Mapping, Type

try:
    from requests import Request
    from requests.adapters import HTTPAdapter
    from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
except ImportError:
    Request = None
    HTTPAdapter = HTTPConnectionPool = HTTPSConnectionPool = object

from ._answer import Answer, Outcome, classify, judge, release
from ._kinds import Kind

HAS_LIBRARY = Request is not None
_KEPT = 1 << 20  # bytes of an answer that are looked at; the rest is read and forgotten
_PIECES = 50  # in which a slow body is sent
_AGENT = "hotswap.bluegreen probe"


class _Adapter(HTTPAdapter):  # type: ignore[misc]  # it has no types where requests is missing
    """An adapter that knows the connection of its only request that is under way."""

    connection: Any = None

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": self._noting(HTTPConnectionPool), "https": self._noting(HTTPSConnectionPool)}

    def _noting(self, base: Type[Any]) -> Type[Any]:
        adapter = self

        class Pool(base):  # type: ignore[misc]  # one of the two classes of urllib3, which has no types here
            def _get_conn(self, timeout: Any = None) -> Any:
                adapter.connection = super()._get_conn(timeout)
                return adapter.connection

        return Pool


class _SlowBody:
    """A body that takes its time, in pieces."""

    def __init__(self, content: bytes, seconds: float) -> None:
        self._content, self._seconds = content, seconds

    def __iter__(self) -> Iterator[bytes]:
        began, size = time.monotonic(), max(1, -(-len(self._content) // _PIECES))
        for start in range(0, len(self._content), size):
            yield self._content[start : start + size]
            time.sleep(max(0.0, began + self._seconds * (start + size) / len(self._content) - time.monotonic()))


class Client:
    """One connection at most at a time; whoever watches it may :meth:`break_off` what takes longer than it may."""

    def __init__(self, kind: Kind, where: Mapping[str, str]) -> None:
        self._kind, self._where = kind, where
        body = kind.body.encode() if kind.body else None
        headers = {"User-Agent": _AGENT, **({} if kind.keep else {"Connection": "close"}), **kind.headers}
        self._request = Request(kind.method, kind.url, headers=headers, data=body).prepare()
        self._adapter = _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0)
        self._overdue = False

    def ask(self, seconds: float, at_once: bool = False) -> Outcome:
        """One request, its answer within so many seconds. ``at_once``: a slow body is sent without its pauses."""
        self._overdue = False
        try:
            response = self._adapter.send(self._prepared(at_once), stream=True, timeout=(seconds, seconds), verify=self._kind.verify)
            body = _read(response, self._kind.method)
        except Exception as error:  # whatever a server makes a library say is a failed request
            self.close()
            return Outcome("timeout", f"not complete after {seconds:.3g} s") if self._overdue else Outcome(*classify(error))
        if not self._kind.keep:
            self.close()
        headers = {name.lower(): text for name, text in response.headers.items()}
        return Outcome(*judge(self._kind, Answer(response.status_code, headers, body)), release(self._where, headers, body))

    def _prepared(self, at_once: bool) -> Any:
        if not self._kind.body_seconds or at_once:
            return self._request
        request = copy.copy(self._request)
        request.body = _SlowBody(self._request.body, self._kind.body_seconds)
        return request

    def break_off(self) -> None:
        """End the request that is under way, from another thread."""
        self._overdue = True
        with suppress(AttributeError, OSError):
            self._adapter.connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        if self._adapter.connection is not None:
            self._adapter.connection.close()


def _read(response: Any, method: str) -> bytes:
    """The body, as far as it is looked at; all of it is read."""
    body, count = b"", 0
    for piece in response.raw.stream(65536, decode_content=False):
        count += len(piece)
        body += piece[: max(0, _KEPT - len(body))]
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and method != "HEAD" and response.status_code not in (204, 304) and count != int(length):
        raise IncompleteRead(b"")  # an older urllib3 says nothing
    return body
