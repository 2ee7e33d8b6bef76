# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the user's commands at one moment of a release, for all hosts of the run."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _journal, _moments, _remote, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Abandoned, Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.hook): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"at", "verdict"})

    @_journal.recorded("before_release")
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        at = self._task.args.get("at", "before_release")
        try:
            later = _task.is_later(self)
            if _task.verdict(variables):
                return {**result, "skipped": True, "skip_reason": "the run has failed"}
            fleet = _fleet.of(self, variables)
            wishes = _task.in_run(fleet.wishes, variables)
            if not _moments.any_at(at, wishes):
                return {**result, "skipped": True, "skip_reason": f"bluegreen_{at} is not set"}
            lock = _task.lock(variables)
            if not lock and not self._task.check_mode:
                raise Refusal("hooks need the service's lock: run hotswap.bluegreen.lock first, as release.yml does.")
            here = [wish for wish in fleet.wishes if wish.host not in lock.get("left_out", {})]
            bare = any(_task.unknown(variables, wish.host) for wish in here)  # in check mode, before the first installation
            remote = _remote.Hosts(self, variables, lock.get("token", 0), fleet.keeper)
            states = {} if bare else remote.all([wish.host for wish in here], lambda host: remote.observe(fleet.of(host)))
            if states and _moments.settled(here, states):
                return {**result, "skipped": True, "skip_reason": "every member is as wished"}
            if self._task.check_mode:
                return {**result, "changed": True, "msg": f"would run bluegreen_{at}"}
            previous = _moments.previous(states[wishes[0].host], fleet.release)
            ran = _moments.Moment(at, fleet.release, previous, remote, _task.teller(self, variables), _task.controller_lives()).run(wishes)
        except (Refusal, Lost, Abandoned) as error:
            return {**result, "failed": True, "msg": f"{error}\nNo member was touched."}
        result |= {"changed": True, "events": [dump(event) for event in ran.events]}
        return {**result, **_task.failed({host: f"{text}\nNo member was touched." for host, text in ran.booked.items()}, later)}
