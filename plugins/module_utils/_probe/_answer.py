# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answer is, and what is wrong with it. No word of a body, a query or a request's header is told: any may be a secret."""

from __future__ import annotations

import json
import socket
import ssl
from http.client import HTTPException, IncompleteRead, RemoteDisconnected
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

from ._kinds import Kind

_MISSING = object()


class Answer(NamedTuple):
    """``status``, ``headers`` with lower-case names, ``body`` as far as it was kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outcome(NamedTuple):
    """``failure`` is the class of what went wrong, '' for a right answer; ``release`` gave the answer, as far as it says."""

    failure: str
    detail: str = ""
    release: str = ""


def judge(kind: Kind, answer: Answer) -> Tuple[str, str]:
    """The class of what is wrong with an answer, and its detail; two empty texts for a right one."""
    if kind.statuses and answer.status not in kind.statuses:
        server = answer.headers.get("server", "")
        return "status", f"{answer.status}, not {' or '.join(map(str, kind.statuses))}{f'; server {server}' if server else ''}"
    for name, wanted in kind.expect_header.items():
        if wanted not in answer.headers.get(name.lower(), ""):
            return "content", f"the header {name} {'has another value' if name.lower() in answer.headers else 'is missing'}"
    return content(kind, answer.body)


def content(kind: Kind, body: bytes) -> Tuple[str, str]:
    """The same for a body alone."""
    if kind.expect_body and kind.expect_body.encode() not in body:
        return "content", f"{len(body)} bytes without the expected text"
    if kind.expect_json:
        told = _json(body)
        if told is _MISSING:
            return "content", f"{len(body)} bytes that are no JSON"
        for path, wanted in kind.expect_json.items():
            if value(told, path) != wanted:
                return "content", f"{path} of the JSON {'is missing' if value(told, path) is _MISSING else 'has another value'}"
    return "", ""


def release(where: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> str:
    """The release that an answer names, '' if it names none. ``where`` has ``header`` or ``json``, a dotted path."""
    if "json" in where:
        found = value(_json(body), where["json"])
        return str(found) if isinstance(found, (str, int, float)) else ""
    return headers.get(where["header"].lower(), "") if "header" in where else ""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _MISSING


def value(told: Any, path: str) -> Any:
    """What stands at a dotted path."""
    for key in path.split("."):
        told = told.get(key, _MISSING) if isinstance(told, dict) else _MISSING
    return told


_FAULTS: List[Tuple[Callable[[BaseException], bool], str, str]] = [
    (lambda error: isinstance(error, ConnectionRefusedError), "refused", "the connection was refused"),
    (lambda error: isinstance(error, RemoteDisconnected), "closed", "the connection was closed without an answer"),
    (lambda error: isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)), "reset", "the connection was reset"),
    (lambda error: isinstance(error, IncompleteRead) or "Incomplete" in type(error).__name__, "closed", "closed in the middle of the answer"),
    (lambda error: isinstance(error, ssl.SSLError), "network", "TLS"),
    (lambda error: isinstance(error, (socket.timeout, TimeoutError)) or "Timeout" in type(error).__name__, "timeout", "nothing came in time"),
    (lambda error: isinstance(error, HTTPException) or "ChunkLength" in type(error).__name__, "content", "this is no HTTP"),
    (lambda error: isinstance(error, socket.gaierror), "network", "the name has no address"),
    (lambda error: isinstance(error, OSError) and bool(error.strerror), "network", ""),
]


def classify(error: BaseException) -> Tuple[str, str]:
    """The class of an error and its detail: of whatever lies at the bottom of it."""
    chain = list(_chain(error, {}).values())
    for fits, failure, words in _FAULTS:
        for one in chain:
            if fits(one):
                said = (getattr(one, "reason", "") or one.strerror or "") if failure == "network" and isinstance(one, OSError) else ""
                return failure, ": ".join(filter(None, (words, str(said))))
    return "network", type(error).__name__


def _chain(error: BaseException, found: Dict[int, BaseException]) -> Dict[int, BaseException]:
    """The error, and all that it was made of."""
    if id(error) not in found:
        found[id(error)] = error
        for other in (error.__cause__, error.__context__, getattr(error, "reason", None), *error.args):
            if isinstance(other, BaseException):
                _chain(other, found)
    return found
