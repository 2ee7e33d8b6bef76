# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reload: a signal or a restart, and the proof that the program came back."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Callable, Dict

from ._hand import Ask
from ._settings import RESTART, Settings

_LOOK = 0.05  # seconds between looks at the program
_SETTLE = 0.5  # seconds in which a program has ended that does not know a signal, or cannot start; without startsecs supervisor says RUNNING before
_STOPPING = 120.0  # seconds; supervisor ends it by force after its stopwaitsecs
_DOWN = ("STOPPED", "EXITED", "FATAL", "BACKOFF", "UNKNOWN")
_AFTERWARDS = 3.0  # seconds in which a restart that is cut off is brought to its end


@dataclass(frozen=True)
class Reloaded:
    """Whether the program runs with what is there now, and what was done, or is wrong, in words."""

    ok: bool
    words: str


class _Wrong(Exception):
    """The program is not as it should be; the text says how."""


def reload(ask: Ask, settings: Settings, sleep: Callable[[float], None] = time.sleep) -> Reloaded:
    """Let the program load what is there now. One that a person has stopped is left alone; one that has failed is started."""
    try:
        before = _look(ask)
        if before["state"] == "STOPPED":
            return Reloaded(False, f"{settings.program} is stopped, and left so: supervisorctl start {settings.program}")
        act = _restart if settings.reload == RESTART or before["state"] in _DOWN else _signal
        return Reloaded(True, act(ask, settings, before, sleep) + _healthy(settings, sleep))
    except _Wrong as error:
        return Reloaded(False, f"{error}{_said(ask)}")


def _order(ask: Ask, order: str) -> Dict[str, Any]:
    found = ask(order)
    if found.get("problem"):
        raise _Wrong(str(found["problem"]))
    return found


def _look(ask: Ask, order: str = "look") -> Dict[str, Any]:
    found = _order(ask, order)
    if found["state"] == "ABSENT":
        raise _Wrong("supervisor does not know the program any more")
    return found


def _restart(ask: Ask, settings: Settings, before: Dict[str, Any], sleep: Callable[[float], None]) -> str:
    try:
        _look(ask, "stop")
        _until_down(ask, _STOPPING, sleep)
    except SystemExit:  # told to end: the program must not stay down for it
        _until_down(ask, _AFTERWARDS, time.sleep)
        _order(ask, "start")
        raise
    first, began = _order(ask, "start"), time.monotonic()
    while True:
        now, passed = _look(ask), time.monotonic() - began
        if now["state"] in _DOWN or now["pid"] != first["pid"]:
            raise _Wrong(f"{settings.program} does not stay up: {now['state']}{' ' + now['spawn'] if now['spawn'] else ''}")
        if now["state"] == "RUNNING" and passed > _SETTLE:
            return f"restart, pid {before['pid'] or 'none'} → {now['pid']}"
        if now["state"] != "RUNNING" and passed > settings.start_timeout:
            raise _Wrong(f"{settings.program} is still {now['state']} after {settings.start_timeout:g} s")
        sleep(_LOOK)


def _until_down(ask: Ask, seconds: float, sleep: Callable[[float], None]) -> None:
    end = time.monotonic() + seconds
    while _look(ask)["pid"]:
        if time.monotonic() > end:
            raise _Wrong(f"it has not ended {seconds:g} s after its stop signal")
        sleep(_LOOK)


def _signal(ask: Ask, settings: Settings, before: Dict[str, Any], sleep: Callable[[float], None]) -> str:
    """Send it, and see that the process outlives it: what a program does not know ends it."""
    _order(ask, "signal")
    end = time.monotonic() + _SETTLE
    while time.monotonic() < end:
        now = _look(ask)
        if now["pid"] != before["pid"]:
            raise _Wrong(
                f"{settings.reload} ended {settings.program} (pid {before['pid']}), so it does not know that signal, or its new code does not start; it is "
                f"{now['state']} now. If it cannot reload, set watch_reload: restart"
            )
        sleep(_LOOK)
    return f"{settings.reload} to pid {before['pid']}"


def _healthy(settings: Settings, sleep: Callable[[float], None]) -> str:
    if not settings.health_url:
        return ""
    end = time.monotonic() + settings.start_timeout
    while True:
        seen = _ask(settings.health_url)
        if not seen:
            return ", healthy"
        if time.monotonic() > end:
            raise _Wrong(f"{settings.program} runs and is not healthy: {settings.health_url}: {seen}")
        sleep(2 * _LOOK)


def _ask(url: str) -> str:
    """What is wrong with the answer, '' if nothing is."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=2) as answer:
            answer.read(1)
            return ""
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def _said(ask: Ask) -> str:
    lines = ask("log").get("lines", [])
    return f". Its last words: {' | '.join(lines)}" if lines else ""
