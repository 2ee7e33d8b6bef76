# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an application is told to let its clients go, as the user wrote it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Goodbye

from ._rules import Problems, check_headers
from ._values import show

_SIGNALS = ("HUP", "USR1", "USR2", "WINCH", "TTIN", "TTOU", "URG")


def read(values: Mapping[str, Any], problems: Problems) -> Goodbye:
    """Signal or request, and the times; faults are noted by the variable's name."""
    signal, path = values["drain_signal"], values["drain_url"]
    window, longest = values["drain_window"], values["long_drain_timeout"]
    problems.unless(
        not (signal and path), f"bluegreen_drain_signal is {signal} and bluegreen_drain_url is {show(path)}; an application is told in one way: take one out."
    )
    problems.unless(
        not signal or signal in _SIGNALS,
        f"bluegreen_drain_signal is {show(signal)}; one of {', '.join(_SIGNALS)} is expected, which end no application that handles them.",
    )
    for name, what in (("stop_signal", "stops the program"), ("reload_signal", "lets it load its code anew")):
        problems.unless(
            not signal or signal != values.get(name),
            f"bluegreen_drain_signal is {signal}, which is bluegreen_{name}; another is expected, because this one {what}.",
        )
    _check_path(path, problems)
    check_headers("bluegreen_drain_headers", values["drain_headers"], problems)
    usable = True
    for name, value in (("drain_window", window), ("long_drain_timeout", longest)):
        right = math.isfinite(value) and value > 0
        usable = problems.unless(right, f"bluegreen_{name} is {value:g}; a positive number is expected.") and usable
    problems.unless(
        not usable or not (signal or path) or window < longest,
        f"bluegreen_drain_window is {window:g} s, bluegreen_long_drain_timeout {longest:g} s: clients would be ended before their time to leave is over. "
        "Make the window shorter, or bluegreen_long_drain_timeout longer.",
    )
    return Goodbye(signal, path, values["drain_method"], {str(name): str(value) for name, value in values["drain_headers"].items()}, window, longest)


def _check_path(path: str, problems: Problems) -> None:
    problems.unless(
        not path or path.startswith("/"),
        f"bluegreen_drain_url is {show(path)}; a path such as /drain is expected, which is asked on each member's own port: no scheme, no host.",
    )
    problems.unless(
        path.isprintable() and path.isascii() and not set(path) & set(" #"),
        f"bluegreen_drain_url is {show(path)}; a path without blanks and # is expected, other letters than ASCII's as %XX.",
    )
