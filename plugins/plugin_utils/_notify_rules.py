# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a run sends messages to: ``bluegreen_notify`` as written, made into targets. Pure. No sentence repeats a URL, a secret or a header."""

from __future__ import annotations

import importlib.util
import math
import string
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from . import _rules, _values
from ._rules import Problems
from ._values import show

KINDS = ("generic", "slack", "dingtalk", "wecom", "feishu")
SIGNED = ("dingtalk", "feishu")
START, SUCCESS, FAILURE, ROLLBACK = OCCASIONS = ("start", "success", "failure", "rollback")
WORDS = ("text", "service", "release", "result", "who", "took", "failure", "report")  # what a template may name
_LONGEST = 60.0  # seconds that an attempt may be given


@dataclass(frozen=True)
class Target:
    """One receiver. ``timeout`` are the seconds of an attempt; what may be secret is in no representation."""

    kind: str
    url: str = field(repr=False)
    occasions: tuple[str, ...] = OCCASIONS
    secret: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = 5.0
    template: str = ""

    @property
    def name(self) -> str:
        """How people are told of it: the host alone, as every other part of the URL may be its token."""
        return f"{self.kind} message to {urlsplit(self.url).hostname}"


def read(values: Mapping[str, Any], problems: Problems) -> tuple[Target, ...]:
    """The targets; faults are noted by the variable's name."""
    return tuple(_targets(values["notify"], problems))


def lacking(targets: tuple[Target, ...]) -> str:
    """What the controller lacks for them, in a sentence; '' if nothing."""
    if not targets or importlib.util.find_spec("requests"):
        return ""
    needs = f"bluegreen_notify needs the Python library requests on the controller, for {sys.executable}: install it there (pip install requests)."
    return f"{needs} {_rules.IN_IMAGE}"


def _targets(entries: list[Mapping[str, Any]], problems: Problems) -> Iterator[Target]:
    for number, given in enumerate(entries, 1):
        where = "bluegreen_notify" if len(entries) == 1 else f"bluegreen_notify, entry {number}"
        before = len(problems.found)
        url, secret, headers = given["url"] or "", given["secret"] or "", given["headers"]
        _check_url(where, url, problems)
        problems.unless(
            not secret or given["kind"] in SIGNED,
            f"{where}: secret signs messages of {' and '.join(SIGNED)}; for {given['kind']} take it away, or put a token into headers.",
        )
        _rules.check_headers(f"{where}: headers", headers, problems)
        occasions = tuple(dict.fromkeys(str(item).strip() for item in _values.listed(given["on"]))) if given["on"] is not None else OCCASIONS
        for word in occasions:
            problems.unless(word in OCCASIONS, f"{where}: on is {show(word)}; {', '.join(OCCASIONS)} are expected.")
        problems.unless(occasions, f"{where}: on is an empty list; some of {', '.join(OCCASIONS)} are expected.")
        timeout, template = given["timeout"], given["template"]
        problems.unless(
            math.isfinite(timeout) and 0 < timeout <= _LONGEST,
            f"{where}: timeout is {timeout:g}; a positive number of seconds, {_LONGEST:g} at most, is expected.",
        )
        _check_template(where, template, problems)
        if len(problems.found) == before:
            yield Target(given["kind"], url, occasions, secret, {name: str(value) for name, value in headers.items()}, timeout, template)


def _check_url(where: str, url: str, problems: Problems) -> None:
    clean = bool(url) and url.isascii() and url.isprintable() and " " not in url
    if not problems.unless(clean, f"{where}: url is {'not set' if not url else 'no URL'}; the one that the service gave for its webhook is expected."):
        return
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        problems.found.append(f"{where}: url has a host or port that is none; it is not shown, because it may hold a token.")
        return
    problems.unless(parts.scheme in ("http", "https") and host, f"{where}: url does not begin with https:// (or http://) and a host.")
    problems.unless(
        "@" not in parts.netloc and not parts.fragment,
        f"{where}: url has a user, a password or a # in it; put what authorizes into headers, such as Authorization.",
    )


def _check_template(where: str, template: str, problems: Problems) -> None:
    names = ", ".join(f"${name}" for name in WORDS)
    for found in string.Template.pattern.finditer(template):
        name = found["named"] or found["braced"]
        problems.unless(
            found["escaped"] or name in WORDS, f"{where}: template has {show(found[0] if name is None else f'${name}')}; known are {names}, and $$ for a $."
        )
