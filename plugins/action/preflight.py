# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolve and check one host's variables and the host itself; the fact ``bluegreen_wish`` is what came of it."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hold
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _remote, _task
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Lost

_LEAVE_OUT = "bluegreen_max_unreachable says how many hosts may be left out."
_GONE = "No member that this balancer may still serve can be stopped; if it is gone for good, name it in bluegreen_balancers_absent."


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.preflight): per host, so that play vars and role defaults are seen."""

    _VALID_ARGS = frozenset({"role", "bare"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        role = self._task.args.get("role", "release")
        try:
            _task.refuse_keywords(self, "preflight")
            resolved = _fleet.resolve(self, variables, role)
        except Refusal as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}
        if resolved is None:
            facts = {"bluegreen_wish": {}, "bluegreen_unknown": []}
            return {**result, "changed": False, "ansible_facts": facts, "msg": "this host has nothing to do with the service"}
        wish = resolved.wish
        try:
            found = self._look(wish, role, variables)
        except AnsibleConnectionFailure as error:
            if not (resolved.rollout.max_unreachable and wish.members):
                raise AnsibleConnectionFailure(f"{error}\nNothing was changed. {_LEAVE_OUT if wish.members else _GONE}") from error
            why = f"{wish.host} is unreachable: {error}"
            self._display.warning(f"{why}; it is left out, as bluegreen_max_unreachable allows.")
            return {**result, "changed": False, "msg": why, "ansible_facts": {"bluegreen_unreachable": why}}
        except (Refusal, Lost) as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}
        if found.get("failed") or found.get("unreachable"):
            return {**result, **found, "msg": f"{found.get('msg')}\nNothing was changed."}
        absent = found["absent"]
        bare = boolean(self._task.args.get("bare", False))
        findings = [*found["findings"], *([] if self._task.check_mode or bare else absent)]
        if findings:
            advice = " Run hotswap.bluegreen.install on this host first." if absent and role == "release" else ""
            return {**result, "failed": True, "msg": "\n".join([*findings, f"Nothing was changed.{advice}"])}
        result["ansible_facts"] = {
            "bluegreen_wish": dump(wish),
            "bluegreen_unknown": absent,
            "bluegreen_unreachable": "",
            "bluegreen_staging_seconds": _hold.staging_seconds(resolved.build_timeout),
        }
        result["changed"] = False
        return result

    def _look(self, wish: Wish, role: str, variables: dict[str, Any]) -> dict[str, Any]:
        """What the module finds on this host; the first host of the service lets the balancers be looked at that the play does not have."""
        found: dict[str, Any] = self._execute_module("hotswap.bluegreen.preflight", {"role": role, "wish": dump(wish)}, task_vars=variables)
        elsewhere = _fleet.balancers_beyond(self, variables, role)
        if found.get("failed") or found.get("unreachable") or not elsewhere:
            return found
        if role != "release":
            names = " and ".join(balancer.host for balancer in elsewhere)
            self._display.warning(f"{names}: not in this play, so nothing is installed there.")
            return found
        hosts = _remote.Hosts(self, variables)
        known = {balancer.host: balancer for balancer in elsewhere}
        answers = hosts.all(list(known), lambda host: hosts.module(host, "preflight", {"role": role, "wish": dump(known[host])}))
        for host, answer in answers.items():
            for kind in ("findings", "absent"):
                found[kind] = [*found[kind], *(f"{host}: {text}" for text in answer[kind])]
        return found
