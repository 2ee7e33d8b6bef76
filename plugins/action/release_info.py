# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at every member of a service: one call a host, all at once. Changes nothing."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _remote, _status, _variables, _whole
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _calling
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _status as _engine_status
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._engine import Refused
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Lost


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.release_info): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"print", "expect"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _checked, given = self.validate_argument_spec({"print": {"choices": ["nothing", "text", "json"], "default": "nothing"}, "expect": {"default": ""}})
        try:
            left_out = _whole.left_out(self)
            if left_out:
                return {**result, "skipped": True, "skip_reason": left_out, "warnings": [left_out]}
            engine = _calling.named(self, variables)
            on_hosts = engine == _variables.HOSTS
            if not on_hosts and not _calling.acts(self, variables):
                return {**result, "skipped": True, "skip_reason": "another host of the play speaks to the engine"}
            found = self._look(variables) if on_hosts else self._ask(engine, variables)
        except (Refusal, Refused, Lost) as error:
            return {**result, "failed": True, "msg": str(error)}
        if given["print"] == "text":
            self._display.display("\n".join(found["text"]))
        elif given["print"] == "json":
            self._display.display(json.dumps({name: value for name, value in found.items() if name != "text"}, indent=2, sort_keys=True))
        judge = _status.unmet if on_hosts else _engine_status.unmet
        unmet = judge(found, given["expect"]) if given["expect"] else []
        if unmet:
            found |= {"failed": True, "msg": "\n".join([*unmet, f"Release {given['expect']} was expected on every member, in health. Nothing was changed."])}
        return {**result, "changed": False, **found}

    def _ask(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The service as its engine has it."""
        service, _run = _calling.resolve(self, variables, name, live=True)
        engine = _calling.make(self, variables, service, name)
        return _engine_status.picture(name, service.name, engine.look(), engine.grip())

    def _look(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The members of the play's hosts, and whoever else knows of them: the balancers, and the host that keeps the lock."""
        fleet = _fleet.live(self, variables)
        chosen = [wish.host for wish in fleet.wishes if wish.members and wish.host in variables["ansible_play_hosts_all"]] or list(fleet.topology.hosts)
        asked = {wish.host: wish for wish in fleet.wishes if wish.host in chosen or wish.host in fleet.topology.balancers or wish.host == fleet.keeper.host}
        hosts = _remote.Hosts(self, variables)

        def look(host: str) -> dict[str, Any] | str:
            try:
                return hosts.module(host, "release_info", {"wish": dump(asked[host]), "keeps_lease": host == fleet.keeper.host})
            except (Lost, Refusal) as error:
                return str(error)

        answers = hosts.all(list(asked), look)
        seen = {host: answer for host, answer in answers.items() if isinstance(answer, dict)}
        lost = {host: answer for host, answer in answers.items() if isinstance(answer, str)}
        return _status.picture(fleet.wishes, seen, lost, chosen)
