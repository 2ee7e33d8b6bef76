# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's ``bluegreen_config_checks``: one sentence for each rule that is broken, without what may be a secret."""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._config_checks import Check

from . import _commands, _rules
from ._rules import Problems
from ._values import show


def read(given: Sequence[Mapping[str, Any]], problems: Problems) -> tuple[Check, ...]:
    """The checks in order; ``given`` has the types of its option."""
    return tuple(_entry(number, entry, problems) for number, entry in enumerate(given, 1))


def _entry(number: int, entry: Mapping[str, Any], problems: Problems) -> Check:
    name = f"bluegreen_config_checks, entry {number}"
    url, command = entry.get("url") or "", entry.get("command")
    both = "both url and command" if url else "neither url nor command"
    problems.unless(bool(url) != bool(command), f"{name} has {both}; one of them is expected.")
    for key in ("status", "body", "headers"):
        problems.unless(url or not entry.get(key), f"{name}: {key} goes with a url, not with a command.")
    problems.unless(command or not entry.get("output"), f"{name}: output goes with a command, not with a url.")
    timeout = entry["timeout"]
    problems.unless(math.isfinite(timeout) and timeout > 0, f"{name}: timeout is {timeout:g}; a positive number of seconds is expected.")
    if url:
        check_url(name, url, problems, "url", "http://config.example:8848/path")
    headers = {str(header): str(value) for header, value in (entry.get("headers") or {}).items()}
    _rules.check_headers(f"{name}: headers", headers, problems)
    return Check(
        number,
        url,
        _rules.statuses(200 if entry.get("status") is None else entry["status"], f"{name}: status", problems),
        entry.get("body") or "",
        headers,
        _commands.words(command or None, f"{name}: command", problems),
        entry.get("output") or "",
        timeout,
        entry["on"],
    )


def check_url(name: str, url: str, problems: Problems, key: str, example: str) -> None:
    """An http(s) URL that holds nothing secret but, perhaps, its query; ``key`` is what the user calls it."""
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    clean = url.isprintable() and url.isascii() and " " not in url
    if problems.unless(usable and clean, f"{name}: {key} is not one of http or https with a host; such as {example} is expected."):
        problems.unless(
            "@" not in parts.netloc,
            f"{name}: {key} has a user or password in it, which would be seen in messages; put it in headers ({show('Authorization')}).",
        )
