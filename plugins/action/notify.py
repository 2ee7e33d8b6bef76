# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell the people of ``bluegreen_notify`` that a run begins, and how it ended. Whatever goes wrong with that is a warning."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _journal, _message, _moments, _owner, _post, _remote, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.notify): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"at"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec({"at": {"choices": ["start", "end"], "required": True}})
        variables = task_vars or {}
        lock = _task.lock(variables)
        if not lock or self._task.check_mode:
            return {**result, "skipped": True, "skip_reason": "check mode" if self._task.check_mode else "the run has not begun"}
        now = time.time()
        told = {"bluegreen_told": {"token": lock["token"], "at": now, "sent": False}} if given["at"] == "start" else {}
        try:
            fleet = _fleet.of(self, variables)
            if not fleet.rollout.notify:
                return {**result, "skipped": True, "skip_reason": "bluegreen_notify is not set"}
            message = (self._start if told else self._end)(fleet, variables, now)
            if message is None:
                return {**result, "changed": False, "ansible_facts": told, "msg": "there was nothing to do, so nothing is told"}
            sent, warnings = self._send(fleet, message, variables)
        except (Refusal, Lost, Abandoned) as error:
            return {**result, "changed": False, "ansible_facts": told, "warnings": [f"no message was sent: {error}"]}
        except Exception as error:  # a release is worth more than its message; the text of the error may hold a token
            return {**result, "changed": False, "ansible_facts": told, "warnings": [f"no message was sent, by a mistake of ours: {type(error).__name__}"]}
        for fact in told.values():
            fact["sent"] = sent > 0
        return {**result, "changed": False, "ansible_facts": told, "msg": f"{sent} of {sent + len(warnings)} messages sent", "warnings": warnings}

    def _start(self, fleet: _fleet.Fleet, variables: dict[str, Any], now: float) -> _message.Message | None:
        lock = _task.lock(variables)
        here = [wish for wish in fleet.wishes if wish.host not in lock.get("left_out", {})]
        remote = _remote.Hosts(self, variables, lock["token"], fleet.keeper)
        if _moments.settled(here, remote.all([wish.host for wish in here], lambda host: remote.observe(fleet.of(host)))):
            return None
        return _message.at_start(way=_way(fleet), at=now, **self._about(fleet, variables))

    def _end(self, fleet: _fleet.Fleet, variables: dict[str, Any], now: float) -> _message.Message | None:
        began = _task.told(variables)
        reached = _task.reached_the_end(variables)
        booked = _task.verdict(variables)
        gone = _task.gone(variables, [wish.host for wish in fleet.wishes])
        journal = _journal.of(variables)
        failed = booked or ({", ".join(gone): _message.why(journal.lines(), gone)} if gone else {})
        ended = _message.Ended(reached, _task.changed(variables), failed, _task.returned(variables))
        about = {"at": now, "seconds": now - began["at"] if began else None, "report": journal.folder, **self._about(fleet, variables)}
        return _message.at_end(ended, _way(fleet), bool(began.get("sent")), **about)

    def _about(self, fleet: _fleet.Fleet, variables: dict[str, Any]) -> dict[str, Any]:
        mine = _task.in_run(fleet.wishes, variables)
        return {
            "service": fleet.service,
            "release": fleet.release,
            "who": _lock.who(_owner.of(variables)),
            "hosts": tuple(wish.host for wish in mine),
            "members": sum(len(wish.members) for wish in mine),
        }

    def _send(self, fleet: _fleet.Fleet, message: _message.Message, variables: dict[str, Any]) -> tuple[int, list[str]]:
        """How many messages were sent, and a warning for each that was not."""
        targets = [target for target in fleet.rollout.notify if set(target.occasions).intersection(message.occasions)]
        outcome = _post.send(targets, message)
        journal = _journal.of(variables)
        for number, why in outcome.items():
            journal.write("note", text=f"{targets[number].name}: {f'not sent: {why}' if why else f'sent ({message.result})'}")
        return sum(not why for why in outcome.values()), [
            f"{targets[number].name} ({message.result}) was not sent: {why}" for number, why in outcome.items() if why
        ]


def _way(fleet: _fleet.Fleet) -> str:
    return "rollback" if fleet.wishes[0].rollback else "release"
