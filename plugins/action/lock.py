# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take or release the service's lock, on the fleet's first balancer; the fact ``bluegreen_lock`` holds its token."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _lease, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.lock)."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"state", "reason", "seconds", "until"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        state = self._task.args.get("state", "held")
        seconds = float(self._task.args.get("seconds", _lease.PATIENCE))
        try:
            if state == "released":
                _lease.release(self, variables, _task.lock(variables))
                result["ansible_facts"] = {"bluegreen_lock": {}}
            elif self._task.check_mode or state == "seen":
                holder = _lease.seen(self, variables)
                if holder:
                    self._display.display(f"the lock is held: {holder}")
                result["held_by"] = holder
            else:
                taken = _lease.take(self, variables, str(self._task.args.get("reason", "release")), seconds)
                result["ansible_facts"] = {"bluegreen_lock": {**taken, "until": self._task.args.get("until", "released")}}
        except (Refusal, Lost) as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}
        result["changed"] = False
        return result
