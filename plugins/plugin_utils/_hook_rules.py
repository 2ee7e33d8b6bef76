# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's hooks and migrations, as written, made into commands. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._hooks import MOMENTS
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Hook

from . import _values
from ._commands import is_word
from ._rules import Problems
from ._values import show

_MIGRATIONS = ("migrate", "migrate_down")
_TIMEOUT = {"migrate": 3600.0, "migrate_down": 3600.0}
_FORM = "a text for sh, or a list of texts and of dictionaries with command, on, timeout and on_failure is expected"
_OPTIONS: dict[str, dict[str, Any]] = {
    "command": {"type": "raw"},
    "on": {"type": "str", "default": "host"},
    "timeout": {"type": "float"},
    "on_failure": {"type": "str", "choices": ["stop", "warn"], "default": "stop"},
}


def read(values: Mapping[str, Any], problems: Problems) -> tuple[Hook, ...]:
    """All hooks in the order of their moments; faults are noted by the variable's name."""
    return tuple(hook for moment in (*MOMENTS, *_MIGRATIONS) for hook in _of(moment, values[moment], problems))


def _of(moment: str, given: Any, problems: Problems) -> Iterator[Hook]:
    name = f"bluegreen_{moment}"
    if isinstance(given, str) and given.lstrip().startswith(("[", "{")):
        given = _values.parsed(given)  # a survey knows nothing but text
    entries = given if isinstance(given, (list, tuple)) else [given] if given else []
    if moment in _MIGRATIONS and not problems.unless(
        len(entries) <= 1, f"{name} is a list of {len(entries)}; one command is expected, a script of the release for more."
    ):
        return
    for number, entry in enumerate(entries, 1):
        where = name if len(entries) == 1 else f"{name}, entry {number}"
        if not problems.unless(isinstance(entry, (str, Mapping)), f"{where} is {show(entry)}; {_FORM}."):
            continue
        found, wrong = _values.read(where, {"command": entry} if isinstance(entry, str) else entry, {"type": "dict", "options": _OPTIONS})
        problems.found += wrong
        command = _command(where, (found or {}).get("command"), problems)
        if command and not wrong:
            timeout = _TIMEOUT.get(moment, 60.0) if found["timeout"] is None else found["timeout"]
            problems.unless(math.isfinite(timeout) and timeout > 0, f"{where}: timeout is {timeout:g}; a positive number of seconds is expected.")
            problems.unless(
                moment not in _MIGRATIONS or (found["on_failure"] == "stop" and found["on"] != "controller"),
                f"{where}: a migration runs on a host of the service, and the release ends when it fails; on: controller and on_failure: warn are for hooks.",
            )
            yield Hook(moment, command, "" if found["on"] == "host" else found["on"], timeout, found["on_failure"])


def _command(where: str, given: Any, problems: Problems) -> tuple[str, ...]:
    """One word for sh, or several that are run as they are."""
    if isinstance(given, str):
        usable = given.strip() and "\0" not in given
        return (given,) if problems.unless(usable, f"{where}: its command is empty, or holds a NUL byte.") else ()
    words = list(given) if isinstance(given, (list, tuple)) else []
    usable = len(words) > 1 and all(is_word(word) and "\0" not in str(word) for word in words)
    return (
        tuple(map(str, words))
        if problems.unless(usable, f"{where}: command is {show(given)}; a text for sh or a list of at least two words is expected.")
        else ()
    )
