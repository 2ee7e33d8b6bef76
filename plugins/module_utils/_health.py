# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One health check: a request, and whether the answer is the expected one. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from dataclasses import replace
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

from ._parts import Health, Member

TRIES = 3  # a served member is called unhealthy only after this many checks in a row
_BODY_LIMIT = 1 << 20  # bytes read of an answer; a health page is no download


_ANSWER = ("path", "statuses", "body", "header")  # what a right answer is; no request header, which may be secret


def answer(health: Health) -> Dict[str, Any]:
    """The part of the expectation that belongs to a release, as its record keeps it."""
    return {name: list(value) if isinstance(value, tuple) else value for name in _ANSWER for value in [getattr(health, name)]}


def of_record(health: Health, expected: Mapping[str, Any]) -> Health:
    """``health`` with the answer that another release was once found good by."""
    known: Dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in expected.items() if name in _ANSWER}
    return replace(health, **known)


def judge(health: Health, status: int, headers: Mapping[str, str], body: str) -> Optional[str]:
    """What is wrong with an answer, or None. ``headers`` has lower-case names."""
    if status not in health.statuses:
        return f"status {status}"
    if health.body and health.body not in body:
        return f"status {status}, a body without {health.body!r}: {body[:120]!r}"
    for name, value in health.header.items():
        seen = headers.get(name.lower())
        if seen != value:
            return f"status {status}, header {name}: {seen if seen is not None else '(absent)'}"
    return None


def expectation(health: Health) -> str:
    """In words: what the health path must answer."""
    words = f"GET {health.path} answers {' or '.join(map(str, health.statuses))}"
    if health.body:
        words += f" with {health.body!r} in its body"
    for name, value in health.header.items():
        words += f" with header {name}: {value}"
    return f"{words} within {health.timeout:g} s, {health.successes} times in a row"


def check(address: str, port: int, health: Health) -> Tuple[bool, str]:
    """Ask once. (True, what was seen) if it is the expected answer within ``health.timeout`` seconds in all.

    A redirect is an answer like any other; it is not followed.
    """
    began = time.monotonic()
    connection = http.client.HTTPConnection(address, port, timeout=health.timeout)
    try:
        status, headers, body = fetch(connection, health.path, health.request_headers, health.timeout)
        wrong = judge(health, status, headers, body)
    except (OSError, http.client.HTTPException) as error:
        wrong = f"no answer: {str(error) or type(error).__name__}"
    if time.monotonic() - began >= health.timeout:
        wrong = f"no answer within {health.timeout:g} s"
    return wrong is None, wrong or f"status {status}"


def fetch(
    connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str], seconds: float, method: str = "GET"
) -> Tuple[int, Dict[str, str], str]:
    """Status, headers (lower-case names) and body of one answer, within ``seconds`` in all. OSError or HTTPException without a whole one."""
    with contextlib.closing(connection):
        connection.connect()
        with _hung_up_after(seconds, connection.sock):
            connection.request(method, path, headers={"Connection": "close", **headers})
            answer = connection.getresponse()
            body = answer.read(_BODY_LIMIT)
            if answer.length and len(body) < _BODY_LIMIT:
                raise http.client.IncompleteRead(body, answer.length)
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body.decode("utf-8", "replace")


@contextlib.contextmanager
def _hung_up_after(seconds: float, connection: socket.socket) -> Iterator[None]:
    """End the connection after ``seconds``: its own timeout is for each piece, an answer byte by byte would never end."""
    cut = threading.Timer(seconds, _hang_up, [connection])
    cut.daemon = True
    cut.start()
    try:
        yield
    finally:
        cut.cancel()


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def connects(address: str, port: int, seconds: float) -> bool:
    """Whether anybody takes connections there."""
    try:
        socket.create_connection((address, port), seconds).close()
    except OSError:
        return False
    return True


def port(member: Member, health: Health) -> int:
    """The port that the health path is asked on."""
    return member.ports[health.port] if health.port else member.port


def ask(member: Member, health: Health, tries: int = TRIES, sleep: Callable[[float], None] = time.sleep) -> Tuple[bool, str]:
    """Whether a member of any host answers rightly at one of so many tries in a row; and what was seen last."""
    healthy, seen = False, ""
    for attempt in range(tries):
        if attempt:
            sleep(health.interval)
        healthy, seen = check(member.address, port(member, health), health)
        if healthy:
            break
    return healthy, seen
