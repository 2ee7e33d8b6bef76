# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One round: what changed since the running code was loaded is checked, built, and loaded; one line says how it went.

A round is about everything that is not loaded yet, not about the last save alone: a file with a mistake is not forgotten when another one is saved,
and what is as it runs again needs no reload.
"""

from __future__ import annotations

import os
import time
from typing import Callable, Dict, List, Mapping, Optional, Set

from . import _checks, _commands, _tree
from ._reload import Reloaded
from ._settings import Settings

_NAMES = 1  # files that a line names
_LONGEST = 500  # characters of a message


class Rounds:
    """The rounds of one watch. ``first`` is what the program is taken to run; ``reload`` lets it load what is there."""

    def __init__(self, settings: Settings, first: _tree.Picture, reload: Callable[[], Reloaded], say: Callable[[str], None]) -> None:
        self._settings, self._reload, self._say = settings, reload, say
        self._loaded = self._tried = first
        self._missing: Set[str] = set()
        self._environment = _environment(settings.environment)

    def round(self, now: _tree.Picture) -> None:
        """Do what is due for what is there now, if anything is."""
        if not _tree.changes(self._tried, now):
            self._tried = now
            return
        self._tried = now
        pending = _tree.changes(self._loaded, now)
        what, took = self.names(pending), ""
        if not pending:
            self._say("as it runs again: nothing to load")
            return
        began = time.monotonic()
        wrong = self._check([path for path in pending if path in now.files])
        took = f"checked {time.monotonic() - began:.2f} s"
        if not wrong and self._settings.build:
            began = time.monotonic()
            wrong = self._build()
            took += f", built {time.monotonic() - began:.2f} s"
        if wrong:
            self._say(f"not loaded: {wrong} ({what}; {took})")
            return
        self._loaded = now  # whatever comes of it, this is what it was told to load
        began = time.monotonic()
        done = self._reload()
        took += f", reloaded {time.monotonic() - began:.2f} s"
        self._say(f"loaded: {what}; {took} ({done.words})" if done.ok else f"NOT WELL: {done.words} ({what}; {took})")

    def _check(self, paths: List[str]) -> str:
        """What is wrong with these files, in one line; '' if nothing is, as far as the checkers that are there can say."""
        due = _checks.due(paths, self._settings.checks)
        ran = _commands.run([one.command for one in due], self._folder(), self._environment, self._settings.check_timeout)
        bad: List[str] = []
        for one, result in zip(due, ran):
            if result.missing:
                self._tell_missing(result.missing)
            elif result.late:
                bad.append(f"{one.command[0]} was not through after {self._settings.check_timeout:g} s")
            elif not result.ok:
                bad.append(self._short(_checks.problem(result.output, one.files)))
        return f"{bad[0]}{_more(len(bad) - 1)}" if bad else ""

    def _tell_missing(self, missing: str) -> None:
        if missing not in self._missing:
            self._missing.add(missing)
            self._say(f"cannot check: {missing}. Its files are loaded without a check; install it, or set watch_checks")

    def _build(self) -> str:
        result = _commands.run([self._settings.build], self._folder(), self._environment, self._settings.build_timeout)[0]
        if result.ok:
            return ""
        if result.missing:
            return f"the build cannot be run: {result.missing}"
        why = f"is not through after {self._settings.build_timeout:g} s" if result.late else "fails"
        lines = [line.strip() for line in result.output.splitlines() if line.strip()]
        return f"the build {why}: {plain(' | '.join(lines[-3:]))[-_LONGEST:] or 'without a word'}"

    def _folder(self) -> str:
        """Where commands run: the first watched directory that is there."""
        return next((path for path in self._settings.paths if os.path.isdir(path)), "/")

    def names(self, paths: List[str]) -> str:
        """``app/x.php and 499 more``."""
        return f"{', '.join(map(self._short, paths[:_NAMES]))}{_more(len(paths) - _NAMES)}"

    def _short(self, text: str) -> str:
        """A path, or a message that begins with one, without the directory that is watched."""
        root = next((f"{path}/" for path in self._settings.paths if text.startswith(f"{path}/")), "")
        return plain(text[len(root) :])[:_LONGEST]


def _more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""


def plain(text: str) -> str:
    """Without control characters: a file's name and a checker's words are others' text, and a line is one line."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _environment(more: Mapping[str, str], given: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """What the user's commands see: the watch's own environment without what supervisor tells of the watch."""
    kept = {name: value for name, value in (os.environ if given is None else given).items() if not name.startswith("SUPERVISOR_")}
    return {**kept, **more}
