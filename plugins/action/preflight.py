# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolve and check one host's variables and the host itself; the fact ``bluegreen_wish`` is what came of it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _task


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.preflight): per host, so that play vars and role defaults are seen."""

    _VALID_ARGS = frozenset({"role", "bare"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        role = self._task.args.get("role", "release")
        try:
            _task.refuse_keywords(self, "preflight")
            wish = _task.resolve(self, variables, role).wish
        except Refusal as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}
        found = self._execute_module("hotswap.bluegreen.preflight", {"role": role, "wish": dump(wish)}, task_vars=variables)
        if found.get("failed") or found.get("unreachable"):
            return {**result, **found, "msg": f"{found.get('msg')}\nNothing was changed."}
        absent = found["absent"]
        bare = boolean(self._task.args.get("bare", False))
        findings = [*found["findings"], *([] if self._task.check_mode or bare else absent)]
        if findings:
            advice = " Run hotswap.bluegreen.install on this host first." if absent and role == "release" else ""
            return {**result, "failed": True, "msg": "\n".join([*findings, f"Nothing was changed.{advice}"])}
        result["ansible_facts"] = {"bluegreen_wish": dump(wish), "bluegreen_unknown": absent}
        result["changed"] = False
        return result
