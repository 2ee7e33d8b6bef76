# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The clients of a probe: a thread for each connection, and what they share."""

from __future__ import annotations

import threading
import time
from typing import Callable, Optional, Union

from . import _http, _socket
from ._answer import Outcome
from ._kinds import Kind, Settings
from ._schedule import End, Schedule
from ._tally import Tally

_LATE = 0.1  # seconds between a request's moment and its first byte that need no explanation
_SLACK = 0.3  # seconds that a library may take longer than it was told
_AGAIN = 0.2  # seconds between two attempts to open a WebSocket
_LOOK = 0.2  # seconds between two looks at what else a WebSocket has to do


class Shared:
    """What all clients know: tally, end, which release is read where, and whether this machine keeps pace."""

    def __init__(self, settings: Settings) -> None:
        self.where = settings.release
        self.end = End()
        self.busy = False
        self._offset = time.time() - time.monotonic()
        self.tally = Tally(time.time())

    def epoch(self, moment: float) -> float:
        """A moment of the monotonic clock as seconds since the epoch."""
        return moment + self._offset


class Flight:
    """A request that was due and has not ended. It ends once, whoever ends it."""

    def __init__(self, shared: Shared, kind: Kind, at: float) -> None:
        self._shared, self._kind, self.at = shared, kind.name, at
        self.until = at + kind.timeout
        self._over = False
        self._lock = threading.Lock()
        shared.tally.due(kind.name, shared.epoch(at))

    def end(self, outcome: Outcome) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
        now, tally, due = time.monotonic(), self._shared.tally, self._shared.epoch(self.at)
        if outcome.failure:
            tally.fail(self._kind, due, self._shared.epoch(now), outcome.failure, outcome.detail, outcome.release)
        else:
            tally.answer(self._kind, due, now - self.at, outcome.release)


class Client(threading.Thread):
    """One connection of a kind. What it has under way is watched by :meth:`watch`."""

    def __init__(self, shared: Shared, kind: Kind, schedule: Schedule, client: Union[_http.Client, _socket.Client]) -> None:
        super().__init__(name=f"{kind.name}", daemon=True)
        self.kind, self._shared, self._schedule = kind, shared, schedule
        self._breaker: Callable[[], None] = client.break_off
        self._lock = threading.Lock()
        self._flight: Optional[Flight] = None

    def _begin(self, at: float, awaited: bool = True) -> Flight:
        """A request is due, and taken on."""
        late = time.monotonic() - at
        flight = Flight(self._shared, self.kind, at)
        if late > _LATE:
            self._shared.tally.late(late, "machine" if awaited or self._shared.busy else "connections")
        return flight

    def _under_way(self, flight: Optional[Flight]) -> None:
        with self._lock:
            self._flight = flight

    def watch(self, now: float) -> None:
        """End what takes longer than it may, whatever its library waits for."""
        with self._lock:
            if self._flight and now > self._flight.until + _SLACK:
                self._breaker()

    def abandon(self) -> None:
        """Nothing ended it: it is counted all the same."""
        flight = self._flight
        if flight:
            flight.end(Outcome("timeout", "it did not end"))


class Asker(Client):
    """Requests over HTTP, one after the other."""

    def __init__(self, shared: Shared, kind: Kind, schedule: Schedule) -> None:
        self._client = _http.Client(kind, shared.where)
        super().__init__(shared, kind, schedule, self._client)

    def run(self) -> None:
        while True:
            due = self._schedule.take()
            if due is None:
                return self._client.close()
            flight = self._begin(due.at, due.awaited)
            left = flight.until - time.monotonic()
            if left <= 0:
                flight.end(Outcome("timeout", "not sent: all connections were waiting"))
                continue
            self._under_way(flight)
            outcome = self._client.ask(left)
            self._under_way(None)
            flight.end(outcome)


class Visitor(Client):
    """One WebSocket, held open. A message that crossed a goodbye of the server is sent again on the next one.

    A handshake is a request that is due, and so is each message. A connection that is cut is the failure of the message
    that was on its way or, if none was, a failed request of its own, due at that moment.
    """

    def __init__(self, shared: Shared, kind: Kind, schedule: Schedule) -> None:
        self._client = _socket.Client(kind, shared.where)
        super().__init__(shared, kind, schedule, self._client)
        self._message: Optional[Flight] = None
        self._sent = False
        self._heard = 0.0

    def run(self) -> None:
        due, ended = time.monotonic(), 0.0
        while self._message or not self._shared.end.wait(0):  # what crossed a goodbye is brought to its end, too
            if self._open(due, ended):
                due = ended = self._visit()
            else:
                self._expire()
                if self._shared.end.wait(_AGAIN):
                    time.sleep(_AGAIN)
                due = time.monotonic()

    def _open(self, due: float, ended: float) -> bool:
        flight = self._begin(due)
        self._under_way(flight)
        outcome = self._client.open(max(0.1, flight.until - time.monotonic()))
        self._under_way(None)
        flight.end(outcome)
        if outcome.failure:
            return False
        self._shared.tally.socket("opened", time.monotonic() - ended if ended else 0.0)
        self._heard = time.monotonic()
        return True

    def _visit(self) -> float:
        """Hold the connection until it ends; when that was."""
        try:
            while not (self._shared.end.wait(0) and self._message is None):
                self._ask_when_due()
                self._listen()
                if not self._client.is_open:
                    return time.monotonic()
        except _socket.Ended as ended:
            self._ended(ended)
        self._client.close()
        return time.monotonic()

    def _ask_when_due(self) -> None:
        at = self._schedule.next_at() if self.kind.send else None
        if self._message is None and at is not None and at <= time.monotonic():
            due = self._schedule.take()
            self._message = self._begin(due.at, False) if due else None
        if self._message and not self._sent and not self._expire():
            self._sent = True
            self._client.send()

    def _listen(self) -> None:
        now = time.monotonic()
        wait = self._message.until - now if self._message else _LOOK
        at = self._schedule.next_at() if self.kind.send else None
        if self._message is None and at is not None:
            wait = min(wait, at - now)
        data = self._client.receive(max(0.0, min(wait, _LOOK)))
        if data is None:
            if self._expire():
                self._client.close()  # an answer that comes later is not taken for the next one's
            elif not self.kind.send and time.monotonic() - self._heard > self.kind.timeout:
                self._client.close()
                self._cut(f"silent for {self.kind.timeout:g} s")
            return
        self._heard = time.monotonic()
        if self._sent and self._client.fits(data):
            self._end_message(Outcome("", "", self._client.release))

    def _expire(self) -> bool:
        """Whether the message has had its time."""
        if not self._message or time.monotonic() < self._message.until:
            return False
        self._end_message(Outcome("timeout", "no answer in time" if self._sent else "not sent: there was no connection"))
        return True

    def _end_message(self, outcome: Outcome) -> None:
        if self._message:
            self._message.end(outcome)
        self._message, self._sent = None, False

    def _ended(self, ended: _socket.Ended) -> None:
        if ended.announced:
            self._shared.tally.socket("announced")
            if self._sent:
                self._shared.tally.socket("resent")
            self._sent = False
        else:
            self._cut(str(ended))

    def _cut(self, how: str) -> None:
        self._shared.tally.socket("cut")
        if not (self._message and self._sent):
            Flight(self._shared, self.kind, time.monotonic()).end(Outcome("cut", how, self._client.release))
        else:
            self._end_message(Outcome("cut", how, self._client.release))

    def abandon(self) -> None:
        super().abandon()
        message = self._message
        if message:
            message.end(Outcome("timeout", "it did not end"))
