# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service on disk: releases, each slot's copy, the links that say which one a slot uses, marks and history.

``<root>/releases/<release>``          as staged and built, never changed after
``<root>/releases/.<release>.json``    its record: written last, so a release without one is none
``<root>/releases/.<release>.contents`` the digests of its files, by which the next release sends only what has changed
``<root>/<slot>/<release>``            the slot's own copy, with ``.<release>.json`` beside it in the same way
``<root>/<slot>/current``, ``previous``  links to the release in use and the one before
``<root>/<slot>/.launch/<release>``    its start: exports and command; ``.next-…`` waits for a swap, ``.previous-…`` is what it replaced
``<root>/history.jsonl``               one line an event

A release's name begins with a letter or a digit, so a name of ours that begins with a dot never meets one.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Dict, Optional

from . import _files
from ._model import Refusal
from ._parts import WORKERS

RESERVED_RELEASES = frozenset({"current", "previous", "launcher"})
RESERVED_SLOTS = frozenset({"releases", "shared", "log", WORKERS})

GOOD, FAILED = "good", "failed"


class Place:
    """A directory that holds releases: the pristine ones, or a slot's copies."""

    def __init__(self, path: str) -> None:
        self.path = path

    def release(self, release: str) -> str:
        return f"{self.path}/{release}"

    def record_path(self, release: str) -> str:
        """Where the release's record is, if it is complete."""
        return f"{self.path}/.{release}.json"

    def record(self, release: Optional[str]) -> Dict[str, Any]:
        """What was written down of a complete release; {} if it is not there or not complete."""
        text = _files.read(self.record_path(release)) if release else None
        if not release or text is None or not os.path.isdir(self.release(release)):
            return {}
        try:
            found = json.loads(text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def records(self) -> Dict[str, Dict[str, Any]]:
        """What was written down of every complete release here, by its name."""
        try:
            names = os.listdir(self.path)
        except OSError:
            return {}
        found = {name[1:-5]: self.record(name[1:-5]) for name in sorted(names) if name.startswith(".") and name.endswith(".json")}
        return {release: record for release, record in found.items() if record}

    def write_record(self, release: str, record: Dict[str, Any]) -> None:
        """Write down a complete release. A digest of configuration is not for everybody: it lets guesses at a secret be tried."""
        _files.write(self.record_path(release), json.dumps(record, sort_keys=True) + "\n", 0o600 if "configuration" in record else 0o644)

    def forget_record(self, release: str) -> None:
        for path in (self.record_path(release), self._contents_path(release)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _contents_path(self, release: str) -> str:
        return f"{self.path}/.{release}.contents"

    def contents(self, release: str) -> Dict[str, str]:
        """The digest of each file of the release that is as it came, by its path; {} for a release from an archive."""
        try:
            found = json.loads(_files.read(self._contents_path(release)) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def write_contents(self, release: str, text: str) -> None:
        """Note what :meth:`contents` gives: before the record, because without it the next release only takes longer."""
        _files.write(self._contents_path(release), text, 0o600)


class SlotPlace(Place):
    """A slot's directory."""

    def __init__(self, root: str, slot: str) -> None:
        super().__init__(f"{root}/{slot}")
        self.slot = slot

    @property
    def current(self) -> Optional[str]:
        """The release that the slot uses, or None."""
        return _files.target(f"{self.path}/current")

    @property
    def previous(self) -> Optional[str]:
        """The release that the slot used before the current one, or None."""
        return _files.target(f"{self.path}/previous")

    def mark(self, release: Optional[str]) -> Optional[str]:
        """``good`` or ``failed``: how the release last ended in this slot; None if it was never started here."""
        return self.record(release).get("mark")

    def set_mark(self, release: str, mark: str) -> None:
        record = self.record(release)
        if record and record.get("mark") != mark:
            self.write_record(release, {**record, "mark": mark})

    def start_path(self, release: str, prefix: str = "") -> str:
        return f"{self.path}/.launch/{prefix}{release}"

    def pending(self, release: str) -> bool:
        """Whether a new start of this release waits for the swap."""
        return os.path.exists(self.start_path(release, ".next-"))

    def point(self, release: str, with_waiting: bool = True) -> None:
        """Make ``release`` the current one; ``previous`` is renamed into place first, unless current had failed here.

        A start that waits is put in place too, unless the one is wanted that was good; what it replaces is kept for :meth:`restore`.
        Each part is one rename, and doing all again after an interruption ends in the same state.
        """
        if not self.record(release):
            raise Refusal(f"{self.release(release)} is not a complete release; stage it first.")
        current = self.current
        if current and current != release and self.mark(current) != FAILED:
            _files.link(current, f"{self.path}/previous")
        if with_waiting and self.pending(release):
            if os.path.exists(self.start_path(release)):
                os.replace(self.start_path(release), self.start_path(release, ".previous-"))
            os.replace(self.start_path(release, ".next-"), self.start_path(release))
        _files.link(release, f"{self.path}/current")

    def restore(self, release: str) -> None:
        """Put back the start of ``release`` that the last :meth:`point` replaced, if it did."""
        kept = self.start_path(release, ".previous-")
        if os.path.exists(kept):
            os.replace(kept, self.start_path(release))

    def settle(self, release: str, expected: Dict[str, Any]) -> None:
        """The release is good here, by the answers ``expected``: they hold for it when a later one expects others.

        What was kept to go back to another start of it is no longer needed.
        """
        record = self.record(release)
        good = {**record, "mark": GOOD, "expected": expected}
        if record and record != good:
            self.write_record(release, good)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.start_path(release, ".previous-"))


def known_path(root: str) -> str:
    """Where a host notes the contents of its releases in short, for the controller to read before it sends."""
    return f"{root}/releases/.known"


def releases(root: str) -> Place:
    """The pristine releases."""
    return Place(f"{root}/releases")


def commit(root: str, release: str) -> Dict[str, str]:
    """``commit`` for the history, where the release came from git."""
    kind, _other, found = str(releases(root).record(release).get("source", "")).partition(":")
    return {"commit": found} if kind == "git" else {}


def remember(root: str, **event: Any) -> None:
    """Append one line to the history. A host whose disk is full still swaps; what a crash tore off is ended first."""
    line = json.dumps({"time": round(time.time(), 3), **event}, sort_keys=True) + "\n"
    with contextlib.suppress(OSError), open(f"{root}/history.jsonl", "a+b") as history:
        if history.tell():
            history.seek(-1, os.SEEK_END)
            line = line if history.read(1) == b"\n" else f"\n{line}"
        history.write(line.encode("utf-8", "surrogateescape"))
