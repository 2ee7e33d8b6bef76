# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes after the swap, on all hosts of the run; after one that failed, only that it did is written down."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _owner, _remote, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.finish): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        booked = _task.verdict(variables)
        try:
            fleet = _fleet.of(self, variables)
            return {**result, **self._finish(fleet, variables, booked)}
        except (Refusal, Lost, Abandoned) as error:
            return {**result, "failed": not booked, "msg": str(error)}

    def _finish(self, fleet: _fleet.Fleet, variables: dict[str, Any], booked: dict[str, str]) -> dict[str, Any]:
        lock = _task.lock(variables)
        hosts = _remote.Hosts(self, variables, lock.get("token", 0), fleet.keeper)
        mine = {wish.host: wish for wish in fleet.wishes if wish.members and wish.host not in lock.get("left_out", {})}
        overridden = [why for host in mine for why in [_task.fact(variables, host, "bluegreen_overridden")] if why]
        event = {
            **self._event(booked, fleet),
            **({"override": overridden[0]} if overridden else {}),
            "release": fleet.release,
            "by": _lock.who(_owner.of(variables)),
            "token": lock.get("token", 0),
        }

        if _task.rollback(self, variables).get("settled") and not booked:
            event = {}  # it was as the hosts remember it, so there is nothing to remember

        def end(host: str) -> dict[str, Any] | str:
            """What the host did, or why it did not."""
            arguments = {"wish": dump(mine[host]), "token": lock.get("token", 0), "keeps_lease": host == fleet.keeper.host, "event": event}
            try:
                return hosts.module(host, "finish", {**arguments, "prune": not booked})
            except (Lost, Refusal) as error:
                return str(error)

        done = hosts.all(list(mine), end)
        late = {host: answer for host, answer in done.items() if isinstance(answer, str)}
        if booked:
            return {"changed": False, "msg": "the swap failed, which was written to the history"}
        if late:
            return {"ansible_facts": {"bluegreen_verdict": late}, "changed": False, "msg": "\n".join(late.values())}
        answers = {host: answer for host, answer in done.items() if isinstance(answer, dict)}
        self._tell_removed(answers, fleet)
        return {"changed": any(answer.get("changed") for answer in answers.values()), "removed": {host: answer["removed"] for host, answer in answers.items()}}

    def _tell_removed(self, answers: dict[str, dict[str, Any]], fleet: _fleet.Fleet) -> None:
        """A line for all hosts that removed the same, and what could not be removed."""
        keep = {wish.host: wish.keep_releases for wish in fleet.wishes}
        same: dict[str, list[str]] = {}
        for host, answer in answers.items():
            if answer["removed"]:
                same.setdefault(f"removed old releases: {', '.join(answer['removed'])} (bluegreen_keep_releases is {keep[host]})", []).append(host)
            for problem in answer["problems"]:
                self._display.warning(f"{host}: {problem}")
        for line, hosts in same.items():
            self._display.display(f"{', '.join(hosts)}: {line}")

    def _event(self, booked: dict[str, str], fleet: _fleet.Fleet) -> dict[str, Any]:
        """How the run ended, for the history of each host."""
        if booked:
            return {"event": _history.FAILED, "why": "\n".join(booked.values())}
        return {"event": _history.ROLLED_BACK if fleet.wishes[0].rollback else _history.RELEASED}
