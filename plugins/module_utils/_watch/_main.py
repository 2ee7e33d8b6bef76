# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch's process: look, wait until it is quiet, do a round, and end at once when it is told to.

python watch.pyz SETTINGS    with the Python of a virtual environment that has watchfiles
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from typing import Any, List, Optional, Set

from . import _eyes, _hand, _reload, _settings, _tree
from ._eyes import Eyes
from ._ignore import Ignore
from ._quiet import Quiet
from ._round import Rounds, plain

_GLANCE = 0.5  # seconds between glances at the watched paths themselves, whose coming and going nothing tells
_SURE = 30.0  # seconds after which it looks without having been told: events may be lost, and of a linked file elsewhere there are none
_SETTLING = 5  # looks after which directories that come and go all the time are taken as they are


def say(text: str) -> None:
    """One line of the log."""
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stdout.flush()


class Watch:
    """One watch: what it has seen, and when it looks."""

    def __init__(self, settings: _settings.Settings, eyes: Eyes, ask: _hand.Ask) -> None:
        self._settings, self._eyes, self._ask = settings, eyes, ask
        self._ignore = Ignore(settings.patterns)
        self._quiet = Quiet(settings.debounce, settings.debounce_max)
        self._seen = self.look(None)
        self._glanced = time.monotonic()
        self._closed: Set[str] = set()
        self._rounds = Rounds(settings, self._seen, functools.partial(_reload.reload, ask, settings), say)

    def look(self, before: Optional[_tree.Picture]) -> _tree.Picture:
        """What is there, with eyes on every directory of it before the last look: what changes from then on is told."""
        for _turn in range(_SETTLING):
            began = time.monotonic()
            before = _tree.look(self._settings.paths, self._ignore, before)
            self._looked = time.monotonic()
            self._eyes.slow = self._looked - began
            if not self._eyes.follow(before.folders):
                break
        if before is None:  # there was one look at least
            raise AssertionError
        return before

    def begin(self) -> None:
        """Say what is watched."""
        away = [path for path in self._settings.paths if not os.path.exists(path)]
        say(
            f"watching {plain(', '.join(self._settings.paths))} for {self._settings.program}: {len(self._seen.files)} files in "
            f"{len(self._seen.folders)} directories{'; not there yet: ' + plain(', '.join(away)) if away else ''}"
        )
        self._tell_closed()

    def turn(self) -> None:
        """Wait a moment, and do a round if it is time."""
        touched, now = self._eyes.wait(), time.monotonic()
        if touched is None or now - self._looked > max(_SURE, 100 * self._eyes.slow):
            last, self._seen = self._seen, self.look(self._seen)
            if _tree.changes(last, self._seen):
                self._quiet.note(now)
        elif any(map(self._matters, touched)):
            self._quiet.note(now)
        if now - self._glanced > _GLANCE:
            self._glanced = now
            if _hand.gone(self._ask):
                raise SystemExit("the watch's other process is gone")
            if _tree.moved(self._settings.paths, self._seen):
                self._quiet.note(now)
        if self._quiet.due(now):
            self._seen = self.look(self._seen)
            self._tell_closed()
            self._rounds.round(self._seen)

    def _matters(self, path: str) -> bool:
        """Whether something that is not ignored was touched there."""
        for root in self._settings.paths:
            if path == root or (path.startswith(f"{root}/") and not self._ignore.hides(path[len(root) + 1 :], os.path.isdir(path))):
                return True
        return False

    def _tell_closed(self) -> None:
        new = set(self._seen.closed) - self._closed
        if new:
            self._closed |= new
            first = min(new)
            say(f"cannot read {plain(first)}{f' and {len(new) - 1} more' if len(new) > 1 else ''}: changes there are not seen. Whose is it?")


def main(words: List[str]) -> int:
    """Watch until told to end."""
    with open(words[0], encoding="utf-8") as file:
        settings = _settings.loads(file.read())
    if not settings.poll:
        _eyes.ready()
    ask = _hand.apart(settings)
    stop = threading.Event()

    def end(_number: int, _frame: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # once is enough: what ends now must get to its end
        stop.set()
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    watch = Watch(settings, Eyes(settings.poll, stop, say), ask)
    watch.begin()
    while not stop.is_set():
        watch.turn()
    return 0
