# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's lock, as an engine keeps it: one run at a time, whatever controller it comes from."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from .. import _owner
from .._runner import Abandoned
from ._engine import Engine, Grip

_ASK = 2.0  # seconds between two attempts while another run has it
_TELL = 10.0  # and between two lines that say for whom this run waits
_SPARE = 60.0  # seconds that a lock outlasts what it is for


class Lock:
    """The lock of one run. It lasts for as long as the phase may take that it was last kept for; a dead run's ends with that."""

    def __init__(self, engine: Engine, service: str, owner: Mapping[str, Any], reason: str) -> None:
        self._engine = engine
        self._service = service
        self._mine = {**owner, "reason": reason, "token": secrets.token_hex(8)}
        self._until = 0.0
        self.held = False

    def take(self, patience: float, seconds: float, say: Callable[[str], Any]) -> None:
        """:class:`Refusal` names who has it, if that is another run for longer than ``patience``."""
        deadline, told = time.monotonic() + patience, -_TELL
        while True:
            grip = self._engine.grip()
            free = self._is_free(grip, say)
            if free and self._written(grip, seconds):
                return
            left = deadline - time.monotonic()
            if left <= 0 and not free:
                raise Refusal(
                    f"another run holds the lock of {self._service}: {words(grip)}. Wait for its end, or let this run wait with bluegreen_lock_timeout. "
                    "A dead run's lock ends by itself; hotswap.bluegreen.unlock breaks one that hangs."
                )
            if not free and time.monotonic() - told >= _TELL:
                say(f"waiting for the lock of {self._service}, for {left:.0f} s more: {words(grip)}")
                told = time.monotonic()
            time.sleep(max(0.1, min(_ASK, left)))

    def keep(self, seconds: float) -> None:
        """For so long from now, or for as long as it lasts anyway. :class:`Abandoned` if it was broken, or has ended."""
        grip = self._engine.grip()
        mine = grip.holder.get("token") == self._mine["token"]
        if not mine or not (time.time() + seconds <= self._until or self._written(grip, seconds)):
            self.held = False
            raise Abandoned(f"the lock of {self._service} is not this run's any more ({words(grip)}): nothing more is changed.")

    def give_back(self) -> None:
        """End it, if it is still this run's."""
        if self.held:
            self.held = False
            grip = self._engine.grip()
            if grip.holder.get("token") == self._mine["token"]:
                self._engine.take(grip, {})

    def _written(self, grip: Grip, seconds: float) -> bool:
        """Whether it is ours now; not if somebody else was quicker."""
        until = round(time.time() + seconds + _SPARE)
        if not self._engine.take(grip, {**self._mine, "until": until}):
            return False
        self._until, self.held = until, True
        return True

    def _is_free(self, grip: Grip, say: Callable[[str], Any]) -> bool:
        holder = grip.holder
        if not holder:
            return True
        if _owner.is_gone(holder, self._mine):
            say(f"the run that has the lock of {self._service} is gone, it is taken over: {words(grip)}")
            return True
        return float(holder.get("until") or 0) < time.time()


def words(grip: Grip) -> str:
    """Who has it, why and for how long."""
    holder = grip.holder
    if not holder:
        return "nobody has it"
    left = float(holder.get("until") or 0) - time.time()
    return f"{_lock.who(dict(holder))}, {holder.get('reason')}, {f'for {left:.0f} s more at most' if left > 0 else 'over its time'}"


def end(engine: Engine, service: str, reason: str) -> str:
    """Break the lock of whoever has it: who that was, in words, '' if nobody."""
    if not reason.strip():
        raise Refusal('breaking a lock needs a reason: -e bluegreen_unlock_reason="its controller is gone"')
    grip = engine.grip()
    if grip.holder and not engine.take(grip, {}):
        raise Refusal(f"the lock of {service} has changed hands while it was to be broken: {words(engine.grip())}. Look again.")
    return words(grip) if grip.holder else ""
