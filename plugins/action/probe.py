# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, ask and stop a probe, for a run of the service or for a playbook of the user's own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Settings
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _fleet, _journal, _probe_rules, _probing, _remote, _rules, _task, _values, _variables
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._runner import Lost

_OPTIONS = {"kinds": "probe", "url": "probe_url", "limit": "probe_limit", "release": "probe_release", "down": "probe_down"}


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.probe): one task for all hosts of the play."""

    BYPASS_HOST_LOOP = True
    _VALID_ARGS = frozenset({"state", "id", "on", *_OPTIONS})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        result["_ansible_verbose_override"] = True  # a thousand points are for who registers them
        variables, given = task_vars or {}, self._task.args
        began = time.time()
        own = "id" in given  # else it is the run's
        states = {"started": self._started, "status": self._seen, "stopped": self._stopped}
        try:
            if given.get("state") not in states:
                raise Refusal(f"state is {_values.show(given.get('state'))}; one of {', '.join(states)} is expected.")
            if not own and set(given) != {"state"}:
                raise Refusal("a probe of your own needs an id; one of a release needs nothing but its state, the variables say all else.")
            if self._task.check_mode:
                return {**result, "skipped": True, "skip_reason": "check mode"}
            return {**result, "changed": False, **states[given["state"]](variables, own)}
        except (Refusal, Lost) as error:
            if given.get("state") == "stopped" and not own:  # a release is worth more than what was counted
                return {**result, "changed": False, "warnings": [f"what the probe counted is not known: {error}"]}
            failed = {**result, "failed": True, "msg": str(error)}
            if not own:
                _journal.of(variables).phase("probe", began, failed, "")
            return failed

    def _started(self, variables: dict[str, Any], own: bool) -> dict[str, Any]:
        if own:
            settings = _own_settings(self._task.args)
            probe = self._probe(variables)
            told = probe.start(settings)
            if not told["begins"]:
                raise Refusal(_down(told["down"], "down: allow"))
            return {"changed": True, "down": told["down"], "warnings": [f"{name} has no right answer now: {why}" for name, why in told["down"].items()]}
        fleet = _fleet.of(self, variables)
        wanted = fleet.rollout.probe
        if wanted is None:
            return {"skipped": True, "skip_reason": "bluegreen_probe is not set"}
        lock = _task.lock(variables)
        if not lock:
            raise Refusal("the probe of a release needs the service's lock: run hotswap.bluegreen.lock first, as release.yml does.")
        lacking = _probing.lacking(wanted, fleet.rollout.probe_on, variables)
        if lacking:
            raise Refusal(lacking)
        probe = _probing.Probe(_probing.name(fleet, fleet.rollout.probe_on), fleet.rollout.probe_on, _remote.Hosts(self, variables))
        probe.stop()  # one that a run left behind which lost its controller: no other can have the lock
        if fleet.wishes[0].rollback and wanted.down == "refuse":  # whoever goes back may have nothing that answers
            wanted = Settings(wanted.kinds, wanted.release, wanted.limit, "allow")
        told = probe.start(wanted)
        if not told["begins"]:
            if self._anything_runs(fleet, variables):
                raise Refusal(f"{_down(told['down'], 'bluegreen_probe_down: allow')}\nNothing was changed.")
            text = "probe: left out, because nothing of the service runs yet"
            _task.teller(self, variables)(text)
            return {"msg": text, "down": told["down"]}
        tell = _task.teller(self, variables)
        tell(f"probe: {len(wanted.kinds)} kinds of requests, {_rate(wanted):g} a second, from {probe.on}")
        for name, why in told["down"].items():
            tell(f"probe: {name} has no right answer before it begins: {why}")
        return {"down": told["down"], "ansible_facts": {_probing.FACT: {"id": probe.name, "on": probe.on, "token": lock["token"]}}}

    def _anything_runs(self, fleet: _fleet.Fleet, variables: dict[str, Any]) -> bool:
        remote = _remote.Hosts(self, variables)
        known = [wish for wish in fleet.wishes if wish.members and not _task.left_out(variables, wish.host)]
        states = remote.all([wish.host for wish in known], lambda host: remote.observe(fleet.of(host)))
        return any(slot.running for state in states.values() for slot in state.slots.values())

    def _seen(self, variables: dict[str, Any], own: bool) -> dict[str, Any]:
        probe = self._probe(variables) if own else _probing.running(self, variables)
        return probe.look() if probe else {"running": False, "result": {}}

    def _stopped(self, variables: dict[str, Any], own: bool) -> dict[str, Any]:
        probe = self._probe(variables) if own else _probing.running(self, variables)
        if probe is None:
            return {"skipped": True, "skip_reason": "no probe was started"}
        result = probe.stop()["result"]
        lines = _probing.summary(result)
        for line in lines:
            self._display.display(line)
        found = {"changed": own and bool(result), "running": False, "result": result, "msg": lines[0], "warnings": _doubts(result)}
        if not own:
            if result:
                _journal.of(variables).write("probe", result=result)
            found["ansible_facts"] = {_probing.FACT: {}}
        return found

    def _probe(self, variables: dict[str, Any]) -> _probing.Probe:
        """One of the user's own."""
        on = str(self._task.args.get("on", _probe_rules.CONTROLLER))
        if on != _probe_rules.CONTROLLER and on not in variables["hostvars"]:
            raise Refusal(f"on is {_values.show(on)}, which is neither controller nor a host of the inventory.")
        return _probing.Probe(str(self._task.args["id"]), on, _remote.Hosts(self, variables))


def _name(fleet: _fleet.Fleet, settings: Settings) -> str:
    """The same in each run of a fleet, and another one for another fleet with a service of that name, such as the staging hosts'."""
    about = [fleet.topology.hosts, fleet.topology.balancers, fleet.wishes[0].root, [kind.url for kind in settings.kinds]]
    return f"{fleet.service}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]}"


def _own_settings(given: Mapping[str, Any]) -> Settings:
    """What a task of the user's own wants, by the same rules and with the same defaults as the variables."""
    spec = _variables.spec("release")
    values: dict[str, Any] = {}
    problems = _rules.Problems()
    for name, variable in _OPTIONS.items():
        option = spec[f"bluegreen_{variable}"]
        value = option.get("default") if given.get(name) is None else given[name]
        values[variable], wrong = _values.read(name, value, option)
        problems.found += wrong
    settings = None if problems.found else _probe_rules.read(values, problems, {variable: name for name, variable in _OPTIONS.items()}.__getitem__)
    if settings is None:
        raise Refusal("\n".join(problems.found) or "kinds is empty; a list of kinds of requests is expected.")
    return settings


def _down(kinds: Mapping[str, str], otherwise: str) -> str:
    """Why a probe does not begin."""
    found = "\n".join(f"  {name}: {why}" for name, why in kinds.items())
    return f"The probe has no right answer before it begins:\n{found}\nMend that, or the kinds of requests; or set {otherwise}, and it is counted as it is."


def _doubts(result: Mapping[str, Any]) -> list[str]:
    """What its reader must know of a result."""
    if result.get("ended_by") == "limit":
        return ["the probe ended by itself at its limit (bluegreen_probe_limit); what came later was not seen"]
    if result.get("ended_by") == "killed":
        return ["the probe's process was killed; what it counted in its last second is not known"]
    return []


def _rate(settings: Settings) -> float:
    return sum(kind.rate * (kind.connections if kind.type == "websocket" and kind.send else kind.type != "websocket") for kind in settings.kinds)
