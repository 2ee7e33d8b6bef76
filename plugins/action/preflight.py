# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resolve and check one host's variables and the host itself; the fact ``bluegreen_wish`` is what came of it."""

from __future__ import annotations

import datetime
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.collection_loader import AnsibleCollectionConfig
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hold
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import (
    _collection,
    _fitness,
    _fleet,
    _git,
    _journal,
    _notify_rules,
    _probing,
    _task,
    _variables,
    _whole,
    _wish,
)
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _calling, _mapping
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Lost

_LEAVE_OUT = "bluegreen_max_unreachable says how many hosts may be left out."
_GONE = "No member that this balancer may still serve can be stopped; if it is gone for good, name it in bluegreen_balancers_absent."


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.preflight): per host, so that play vars and role defaults are seen."""

    _VALID_ARGS = frozenset({"role", "bare", "gates"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        role = self._task.args.get("role", "release")
        try:
            _task.refuse_keywords(self, "preflight")
            left_out = _whole.left_out(self)
            if left_out:
                return {**result, "skipped": True, "skip_reason": left_out, "warnings": [left_out]}
            engine = _calling.named(self, variables)
            if engine != _variables.HOSTS and role == "release":
                return {**result, "changed": False, **self._of_engine(engine, variables)}
            if not boolean(self._task.args.get("gates", True)) and not _task.rollback(self, variables) and _whole.started_at():
                raise Refusal(_whole.started_at())  # what it goes back to was not chosen
            resolved = _fleet.resolve(self, variables, role)
        except Refusal as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}
        if resolved is None:
            facts = {"bluegreen_wish": {}, "bluegreen_unknown": [], "bluegreen_role": "", **_whole.begun(variables, variables["inventory_hostname"])}
            return {**result, "changed": False, "ansible_facts": facts, "msg": "this host has nothing to do with the service"}
        wish = resolved.wish
        gates = role == "release" and boolean(self._task.args.get("gates", True))
        shut, overridden = self._shut(resolved) if gates else ([], "")
        try:
            found = _fitness.look(self, resolved, role, variables, gates)
        except AnsibleConnectionFailure as error:
            note = _fitness.worked_on(self, variables, wish) if role == "release" else ""
            if not note and not (resolved.rollout.max_unreachable and wish.members):
                raise AnsibleConnectionFailure(f"{error}\nNothing was changed. {_LEAVE_OUT if wish.members else _GONE}") from error
            why = f"{wish.host} is unreachable: {error}"
            self._display.warning(f"{why}; it is left out, {f'because it is {note}' if note else 'as bluegreen_max_unreachable allows'}.")
            return {
                **result,
                "changed": False,
                "msg": why,
                "ansible_facts": {"bluegreen_unreachable": why, "bluegreen_worked_on": bool(note), **_whole.begun(variables, wish.host)},
            }
        except (Refusal, Lost) as error:
            return {**result, "failed": True, "msg": f"{error}\nNothing was changed."}
        if found.get("failed") or found.get("unreachable"):
            return {**result, **found, "msg": f"{found.get('msg')}\nNothing was changed."}
        absent = found["absent"]
        bare = boolean(self._task.args.get("bare", False))
        result["warnings"] = [f"{wish.host}: {text}" for text in found["doubts"]]
        result["warnings"] += filter(None, [self._installed_twice(role, variables), _collection.newer(wish.host, found["collection"])])
        findings = [*shut, *self._evidence(resolved, role, variables), *found["findings"], *([] if self._task.check_mode or bare else absent)]
        if findings:
            advice = " Run hotswap.bluegreen.install on this host first." if absent and role == "release" else ""
            return {**result, "failed": True, "msg": "\n".join([*findings, f"Nothing was changed.{advice}"])}
        result["ansible_facts"] = {
            "bluegreen_wish": dump(wish),
            "bluegreen_unknown": absent,
            "bluegreen_unreachable": "",
            "bluegreen_role": "",
            "bluegreen_staging_seconds": _hold.staging_seconds(resolved.build_timeout),
            "bluegreen_overridden": overridden,
            **_whole.begun(variables, wish.host),
        }
        result["changed"] = False
        return result

    def _of_engine(self, engine: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The variables of a service on an engine. The rest is looked at when the release begins, under the engine's own eyes."""
        host = str(variables["inventory_hostname"])
        facts = {"bluegreen_wish": {}, "bluegreen_unknown": [], "bluegreen_role": "", **_whole.begun(variables, host)}
        if not _calling.acts(self, variables):
            return {"ansible_facts": facts, "msg": f"another host of the play speaks to {_mapping.TITLES[engine]}"}
        service, _run = _calling.resolve(self, variables, engine, live=not boolean(self._task.args.get("gates", True)))
        return {
            "ansible_facts": {**facts, "bluegreen_role": _calling.ROLES[engine]},
            "msg": f"{service.name} runs on {_mapping.TITLES[engine]}, which is asked from {host}",
        }

    def _evidence(self, resolved: _wish.Resolved, role: str, variables: dict[str, Any]) -> list[str]:
        """What stands against the run's evidence on the controller, said once."""
        if role != "release" or resolved.wish.host != variables["ansible_play_hosts_all"][0]:
            return []
        rollout = resolved.rollout
        probe = _probing.lacking(rollout.probe, rollout.probe_on, variables)
        needs = [_journal.problem(rollout.report_dir), _notify_rules.lacking(rollout.notify), probe, _git.lacking(resolved.source.git)]
        return list(filter(None, needs))

    def _installed_twice(self, role: str, variables: dict[str, Any]) -> str:
        """A warning, once in a run, if another version of the collection is on Ansible's path."""
        first = role == "release" and variables["inventory_hostname"] == variables["ansible_play_hosts_all"][0]
        return _collection.others(AnsibleCollectionConfig.collection_paths) if first else ""

    def _shut(self, resolved: _wish.Resolved) -> tuple[list[str], str]:
        """Why nothing may be released now, and what the history is to know of a release all the same. In check mode it is only warned about."""
        closed = resolved.window.refusal(datetime.datetime.now(datetime.timezone.utc)) if resolved.window else ""
        if closed and resolved.window_override:
            self._display.warning(f"{closed.partition(';')[0]} It is released all the same: {resolved.window_override}")
            return [], f"outside of {resolved.window.words if resolved.window else ''}: {resolved.window_override}"
        if closed and self._task.check_mode:
            self._display.warning(closed)
            return [], ""
        return [closed] if closed else [], ""
