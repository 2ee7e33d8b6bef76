"""A playbook under way: its lines as they come, signals to it, and nothing of it left at the end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tools.bed import end, wait_until

# The line of a step that begins, as in "app1/blue, app2/blue  switch  switch the balancer away … [lb1]".
_BEGINS = re.compile(r"(\S+/\S+(?:, \S+/\S+)*)\s\s+(\w+)\s.*…(?: \[\S+\])?$")
_MARK = "HOTSWAP_CHAOS_RUN"


class Moment:
    """Says yes when a step begins for the n-th member, on whichever balancer first."""

    def __init__(self, step: str, nth: int) -> None:
        self._step, self._nth = step, nth
        self._members: set[str] = set()

    def __call__(self, line: str) -> bool:
        begins = _BEGINS.match(line)
        if begins and begins[2] == self._step:
            self._members.update(begins[1].split(", "))
        return bool(self._step) and len(self._members) >= self._nth


class Ended(Exception):
    """The case is broken off: whoever waits for its playbook is told so."""


class Play:
    """A playbook under way: its lines with the time at which they came, and what is to be done at one of them."""

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, settings: Mapping[str, str], moment: Callable[[str], bool], ended: threading.Event
    ) -> None:
        """``moment`` is asked about each line; at its first yes :attr:`reached` is set. ``ended`` breaks the case off."""
        self.name = name
        self._ended = ended
        self.mark = uuid.uuid4().hex
        self.began = time.monotonic()
        self.lines: list[str] = []
        self._moment = moment
        self.reached = threading.Event()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**settings, _MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name="play", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(f"{time.monotonic() - self.began:7.2f}  {line}")
            if not self.reached.is_set() and self._moment(line):
                self.reached.set()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def over(self) -> bool:
        if self._ended.is_set():
            raise Ended("it was broken off")
        return self._process.poll() is not None

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def tail(self, lines: int = 40) -> str:
        return "".join(self.lines[-lines:])

    @property
    def changed(self) -> int:
        return sum(int(number) for number in re.findall(r"\bchanged=(\d+)", self.output))

    def send(self, sign: signal.Signals, group: bool) -> None:
        """``group``: to all of the session, as a terminal does; else to ansible-playbook alone."""
        (os.killpg if group else os.kill)(self.pid, sign)

    def wait(self, seconds: float) -> int | None:
        """The exit status, None if it does not end in time."""
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: self.over, seconds)
        return self._process.poll()

    def read(self, seconds: float = 3.0) -> None:
        """Wait until all that it said has been read; what an orphan of its keeps open is not waited for any longer."""
        self._reader.join(seconds)

    def processes(self) -> list[int]:
        """All that it started and that still runs here, connections of ssh that outlive it included."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"{_MARK}={self.mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def finish(self) -> None:
        """End whatever is left of it."""
        for pid in self.processes():
            end(pid, 3)
        self._process.wait(10)
        self._reader.join(10)
