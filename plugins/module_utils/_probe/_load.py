# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All clients of a probe together: a first question of each kind, then the load, watched until it has ended."""

from __future__ import annotations

import threading
import time
from typing import Dict, List, Mapping

from . import _http, _socket
from ._answer import Outcome
from ._clients import Asker, Client, Flight, Shared, Visitor
from ._kinds import Kind, Settings
from ._schedule import Schedule

_LATE = 0.1  # seconds between a request's moment and its first byte that need no explanation
_SLACK = 0.3  # seconds that a library may take longer than it was told
_BUSY = 0.8  # of a core; one Python process has no more than one


class Load:
    """All clients of a probe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared = Shared(settings)
        self._clients: List[Client] = []
        self._schedules: Dict[str, Schedule] = {}
        self._looked = (0.0, 0.0)
        self._watched, self._gap = 0.0, 0.0
        self.end = self._shared.end

    def first(self) -> Dict[str, str]:
        """Each kind is asked once, all at the same time; what was wrong, by the kind's name."""
        found: Dict[str, str] = {}

        def ask(kind: Kind) -> None:
            try:
                outcome = _ask_once(kind, self._settings.release)
            except Exception as error:
                outcome = Outcome("network", type(error).__name__)
            if outcome.failure:
                found[kind.name] = f"{outcome.failure}: {outcome.detail}"

        threads = [threading.Thread(target=ask, args=(kind,), daemon=True) for kind in self._settings.kinds]
        for thread in threads:
            thread.start()
        for thread, kind in zip(threads, self._settings.kinds):
            thread.join(kind.timeout + 2)
            if thread.is_alive():
                found[kind.name] = f"timeout: not complete after {kind.timeout:g} s"
        return {kind.name: found[kind.name] for kind in self._settings.kinds if kind.name in found}

    def start(self) -> None:
        """From now on requests are due; those of different kinds, and of different WebSockets, not all at the same moment."""
        self._shared = Shared(self._settings)
        self.end = self._shared.end
        now = time.monotonic()
        for number, kind in enumerate(self._settings.kinds):
            begin = now + number / len(self._settings.kinds) / max(kind.rate, 10)
            schedule = Schedule(kind.rate, begin, self.end)
            for connection in range(kind.connections):
                if kind.type == "websocket":
                    own = Schedule(kind.rate, begin + (connection + 1) / kind.connections / kind.rate, self.end)
                    self._clients.append(Visitor(self._shared, kind, own))
                else:
                    self._clients.append(Asker(self._shared, kind, schedule))
                    self._schedules[kind.name] = schedule
        self._looked = (time.monotonic(), time.process_time())
        self._watched = time.monotonic()
        for client in self._clients:
            client.start()

    def watch(self) -> None:
        """To be called ten times a second; that it is called later says something, too."""
        now = time.monotonic()
        self._gap, self._watched = max(self._gap, now - self._watched), now
        for client in self._clients:
            client.watch(now)

    def look(self) -> None:
        """To be called each second: whether this machine keeps pace."""
        now, used = time.monotonic(), time.process_time()
        seconds = now - self._looked[0]
        self._shared.busy = self._gap > 2 * _LATE or (used - self._looked[1]) / max(seconds, 0.001) > _BUSY
        self._looked, self._gap = (now, used), 0.0

    def finish(self) -> None:
        """Nothing more is due; what is under way ends with its answer or in its time, and is counted in any case."""
        self.end.set()
        last = max(kind.timeout for kind in self._settings.kinds) + 2 * _SLACK + self.end.at
        while any(client.is_alive() for client in self._clients) and time.monotonic() < last:
            self.watch()
            time.sleep(0.02)
        for client in self._clients:
            client.abandon()
        for kind in self._settings.kinds:
            schedule = self._schedules.get(kind.name)
            while schedule and schedule.waiting(time.monotonic()) and schedule.take():
                Flight(self._shared, kind, self.end.at).end(Outcome("timeout", "not sent: all connections were waiting"))

    def result(self) -> Mapping[str, object]:
        now = time.monotonic()
        waiting = {name: schedule.waiting(now) for name, schedule in self._schedules.items()}
        return self._shared.tally.result(self._shared.epoch(min(now, self.end.at)), waiting)


def _ask_once(kind: Kind, where: Mapping[str, str]) -> Outcome:
    if kind.type != "websocket":
        client = _http.Client(kind, where)
        outcome = client.ask(kind.timeout, at_once=True)
        client.close()
        return outcome
    visitor = _socket.Client(kind, where)
    outcome = visitor.open(kind.timeout)
    try:
        if not outcome.failure:
            outcome = _converse(visitor, kind)
    except _socket.Ended as ended:
        outcome = Outcome("closed", str(ended))
    visitor.close()
    return outcome


def _converse(visitor: _socket.Client, kind: Kind) -> Outcome:
    """The text, and its answer; from one that only listens, any message."""
    end = time.monotonic() + kind.timeout
    if kind.send:
        visitor.send()
    while time.monotonic() < end:
        data = visitor.receive(max(0.0, end - time.monotonic()))
        if data is not None and (not kind.send or visitor.fits(data)):
            return Outcome("")
    return Outcome("timeout", "no answer in time")
