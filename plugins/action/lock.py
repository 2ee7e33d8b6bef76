# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take, keep, release, look at or break the service's lock; the fact ``bluegreen_lock`` is what the run has of it."""

from __future__ import annotations

import time
from typing import Any

from ansible import context
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _collection, _fleet, _journal, _lease, _owner, _task, _variables, _whole
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _calling
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _lock as _engine_lock
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._engine import Refused
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost

_HEARING = 30.0  # seconds that a run may take to hear an order


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.lock): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"state", "reason", "seconds", "phase", "until", "order", "to"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, given = self.validate_argument_spec(
            {
                "state": {"choices": ["held", "extended", "released", "seen", "broken", "ordered"], "default": "held"},
                "reason": {"default": ""},
                "seconds": {"type": "float"},
                "phase": {"choices": ["stage"]},
                "until": {"choices": ["released", "swap"], "default": "released"},
                "order": {"choices": ["promote", "abort"]},
                "to": {"choices": ["next", "all"], "default": "next"},
            },
            mutually_exclusive=[["seconds", "phase"]],
            required_if=[["state", "ordered", ["order"]]],
        )
        states = {
            "held": self._held,
            "extended": self._extended,
            "released": self._released,
            "seen": self._seen,
            "broken": self._broken,
            "ordered": self._ordered,
        }
        state = given["state"]
        if self._task.check_mode and state in ("held", "broken", "ordered"):
            state = "seen"
        try:
            left_out = _whole.left_out(self)
            if left_out:
                return {**result, "skipped": True, "skip_reason": left_out, "warnings": [left_out]}
            return {**result, "changed": False, **states[state](given, task_vars or {})}
        except (Refusal, Refused, Lost, Abandoned) as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}

    def _held(self, given: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        began = time.time()
        taken = _lease.take(self, variables, given["reason"] or "no reason given", self._seconds(given, variables))
        new = {
            "bluegreen_verdict": {},
            "bluegreen_swapped": False,
            "bluegreen_returned": {},
            "bluegreen_previous_release": "",
        }  # of this run nothing is known yet
        facts = {"bluegreen_lock": {**taken, "until": given["until"], "run": _owner.run()}, **new, _journal.FACT: self._journal(given, variables, began)}
        return {"ansible_facts": facts, "left_out": taken["left_out"]}

    def _journal(self, given: dict[str, Any], variables: dict[str, Any], began: float) -> str:
        """The directory of this run's report, '' without one; its first line is written."""
        fleet = _fleet.of(self, variables)
        if not fleet.rollout.report_dir:
            return ""
        first, rollout = fleet.wishes[0], fleet.rollout
        journal = _journal.begin(rollout.report_dir, fleet.service, fleet.release)
        journal.write(
            "run",
            service=fleet.service,
            release=fleet.release,
            way="rollback" if first.rollback else "release",
            by=_lock.who(_owner.of(variables)),
            collection=_collection.version(),
            reason=given["reason"],
            hosts=[wish.host for wish in fleet.wishes if wish.members],
            serial=list(rollout.serial),
            strategy=first.strategy,
            on_failure=rollout.on_failure,
        )
        journal.phase("lock", began, {}, "")
        return journal.folder

    def _extended(self, given: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        if not self._task.check_mode:
            _lease.extend(self, variables, self._seconds(given, variables))
        return {}

    def _released(self, _given: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        lock = _task.lock(variables)
        if not lock:
            _whole.refuse_beginning(self)
        _lease.release(self, variables, lock)
        return {"ansible_facts": {"bluegreen_lock": {}}}

    def _seen(self, given: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        holder = _lease.seen(self, variables)
        if holder:
            self._display.display(f"the lock is held: {holder}")
        elif given["state"] == "ordered":
            raise Refusal(_lease.nobody_to_order(_fleet.bare(self, variables).service))
        return {"held_by": holder, "changed": bool(holder) and given["state"] in ("broken", "ordered")}

    def _broken(self, given: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        engine = _calling.named(self, variables)
        holder = _lease.end(self, variables, given["reason"]) if engine == _variables.HOSTS else self._end(engine, given["reason"], variables)
        text = f"broke the lock of {holder}" if holder else "nobody holds the lock"
        self._display.display(text)
        return {"held_by": holder, "changed": bool(holder), "msg": text}

    def _end(self, name: str, reason: str, variables: dict[str, Any]) -> str:
        """Break the lock that an engine keeps."""
        service, _run = _calling.resolve(self, variables, name, live=True)
        return _engine_lock.end(_calling.make(self, variables, service, name), service.name, reason)

    def _ordered(self, given: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        wait = _HEARING if given["seconds"] is None else given["seconds"]
        holder, outcome = _lease.order(self, variables, given["order"], given["reason"], given["to"], wait)
        text = f"the run that has the lock was told to {given['order']} its canary: {holder}. {outcome}"
        self._display.display(text)
        return {"held_by": holder, "changed": True, "msg": text}

    def _seconds(self, given: dict[str, Any], variables: dict[str, Any]) -> float:
        if given["phase"]:
            return _lease.staging_seconds(variables, int(context.CLIARGS.get("forks") or 1))
        return float(given["seconds"] or _lease.PATIENCE)
