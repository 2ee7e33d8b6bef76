# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's ``bluegreen_probe`` and what belongs to it: one sentence for each rule that is broken. Pure. No header, body or query is repeated."""

from __future__ import annotations

import math
import re
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Kind, Settings

from . import _rules
from ._rules import Problems
from ._values import show

CONTROLLER = "controller"
_MOST = {"rate": 5000.0, "timeout": 600.0, "body_seconds": 599.0, "connections": 500}
_MOST_CONNECTIONS = 1000  # of all kinds: each is a thread
_LONGEST = 24 * 3600.0  # seconds
_CONNECTIONS = {"http": 8, "websocket": 2}
_METHOD = re.compile(r"[A-Z]{1,20}\Z")
_OF_HTTP = ("method", "body", "body_seconds", "status", "expect_json", "expect_header", "connection")
_SCHEMES = {"http": ("http", "https"), "websocket": ("ws", "wss", "http", "https")}

Named = Callable[[str], str]


def _variable(name: str) -> str:
    return f"bluegreen_{name}"


def read(values: Mapping[str, Any], problems: Problems, named: Named = _variable) -> Settings | None:
    """The probe; None where no kind is given. ``named`` is how the user knows an option: as a variable, or as one of a task of his own."""
    limit, where, down = values["probe_limit"], values["probe_release"], values["probe_down"]
    problems.unless(
        math.isfinite(limit) and 0 < limit <= _LONGEST,
        f"{named('probe_limit')} is {limit:g}; a positive number of seconds, {_LONGEST:g} at most, is expected.",
    )
    known = set(where) <= {"header", "json"} and len(where) <= 1 and all(isinstance(text, str) and text.strip() for text in where.values())
    problems.unless(
        known,
        f"{named('probe_release')} has {' and '.join(sorted(map(str, where))) or 'nothing'}; header: and a name, or json: and a dotted path, is expected.",
    )
    base = values["probe_url"]
    if base:
        _check_url(named("probe_url"), base, "http", problems)
    before = len(problems.found)
    kinds = [_kind(number, entry, base, problems, named) for number, entry in enumerate(values["probe"], 1)]
    _check_all(kinds, problems, named)
    if not kinds or len(problems.found) > before or not known:
        return None
    return Settings(tuple(kinds), {str(key): str(text) for key, text in where.items()}, limit, down)


def _kind(number: int, entry: Mapping[str, Any], base: str, problems: Problems, named: Named) -> Kind:
    name, kind = entry.get("name") or "", entry["type"]
    where = f"{named('probe')}, entry {number}{f' ({name})' if name.isprintable() and 0 < len(name) <= 40 else ''}"
    problems.unless(name.strip() and name.isprintable() and len(name) <= 60, f"{where}: name is {show(name)}; up to 60 printable letters are expected.")
    for key in _OF_HTTP if kind == "websocket" else ("send",):
        problems.unless(not entry.get(key), f"{where}: {key} goes with type {'http' if kind == 'websocket' else 'websocket'}, not with {kind}.")
    numbers = _numbers(where, entry, kind, problems)
    method = entry.get("method") or "GET"
    problems.unless(_METHOD.match(method), f"{where}: method is {show(method)}; one in capital letters, such as GET, is expected.")
    headers = {str(header): str(value) for header, value in (entry.get("headers") or {}).items()}
    wanted = {str(header): str(value) for header, value in (entry.get("expect_header") or {}).items()}
    _rules.check_headers(f"{where}: headers", headers, problems)
    _rules.check_headers(f"{where}: expect_header", wanted, problems)
    given = entry.get("verify")
    return Kind(
        name=name,
        url=_url(where, entry, base, kind, problems, named),
        type=kind,
        method=method,
        headers=headers,
        body=entry.get("body") or "",
        statuses=_rules.statuses(200 if entry.get("status") is None else entry["status"], f"{where}: status", problems),
        expect_body=entry.get("expect_body") or "",
        expect_json=dict(entry.get("expect_json") or {}),
        expect_header=wanted,
        keep=entry.get("connection") != "new",
        send=entry.get("send") or "",
        verify=True if given is None else _verify(where, given, problems),
        **numbers,
    )


def _numbers(where: str, entry: Mapping[str, Any], kind: str, problems: Problems) -> dict[str, Any]:
    slow = entry.get("body_seconds") or 0.0
    timeout = entry.get("timeout")
    found = {
        "rate": entry["rate"],
        "timeout": 10.0 + slow if timeout is None else timeout,
        "connections": _CONNECTIONS[kind] if entry.get("connections") is None else entry["connections"],
        "body_seconds": slow,
    }
    for key, value in found.items():
        least = "0 or " if key == "body_seconds" else ""
        usable = math.isfinite(value) and (value > 0 or (value == 0 and bool(least))) and value <= _MOST[key]
        problems.unless(usable, f"{where}: {key} is {value:g}; {least}a positive number, {_MOST[key]:g} at most, is expected.")
    problems.unless(not slow or entry.get("body"), f"{where}: body_seconds is {slow:g}, and there is no body.")
    problems.unless(
        not slow or found["timeout"] > slow, f"{where}: timeout is {found['timeout']:g}, and the body alone takes {slow:g} s (body_seconds); make it longer."
    )
    return found


def _url(where: str, entry: Mapping[str, Any], base: str, kind: str, problems: Problems, named: Named) -> str:
    """The whole URL of a kind, with the scheme that its type has."""
    path, url = entry.get("path"), entry.get("url") or ""
    problems.unless(not (url and path), f"{where} has both path and url; one of them is expected.")
    if url:
        _check_url(f"{where}: url", url, kind, problems)
    else:
        path = path or "/"
        clean = path.startswith("/") and path.isprintable() and path.isascii() and " " not in path and "#" not in path
        problems.unless(clean, f"{where}: path is no path that begins with a slash, without blanks and other letters than ASCII's (those as %XX).")
        problems.unless(base, f"{where} has no url, and {named('probe_url')} is not set; such as http://shop.example is expected there.")
        url = f"{base.rstrip('/')}{path}"
    return re.sub(r"^http", "ws", url) if kind == "websocket" else url


def _check_url(name: str, url: str, kind: str, problems: Problems) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        problems.found.append(f"{name} has a host or port that is none.")
        return
    schemes = _SCHEMES[kind]
    if not problems.unless(parts.scheme in schemes, f"{name} begins with no scheme; {', '.join(schemes)} are expected, such as {schemes[0]}://shop.example."):
        return
    clean = host and url.isprintable() and url.isascii() and " " not in url and not parts.fragment
    problems.unless(clean, f"{name} is no URL with a host, without blanks and a #.")
    problems.unless("@" not in parts.netloc, f"{name} has a user or password in it, which would be seen in messages; put it in headers (Authorization).")


def _verify(where: str, given: Any, problems: Problems) -> bool | str:
    if isinstance(given, str) and given.lower() in ("true", "yes", "false", "no"):
        given = given.lower() in ("true", "yes")
    usable = isinstance(given, bool) or (isinstance(given, str) and given.startswith("/"))
    problems.unless(usable, f"{where}: verify is {show(given)}; true, false or the absolute path of a file of authorities is expected.")
    return given if usable else True


def _check_all(kinds: Sequence[Kind], problems: Problems, named: Named) -> None:
    names = [kind.name for kind in kinds]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems.unless(not twice, f"{named('probe')} has {' and '.join(map(show, twice))} more than once; each kind needs a name of its own.")
    count = sum(kind.connections for kind in kinds)
    problems.unless(count <= _MOST_CONNECTIONS, f"{named('probe')} has {count} connections in all; {_MOST_CONNECTIONS} at most are expected.")
