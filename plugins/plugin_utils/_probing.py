# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A probe from the controller's side: where it runs, how it is started, asked and stopped, what it says in words."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _probe_process, _processes
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe import _kinds
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Settings

from . import _fleet, _remote, _rules, _task, _values
from ._probe_rules import CONTROLLER

FACT = "bluegreen_probing"
_SORTS = 8  # of failures that are told; the report has them all


@dataclass(frozen=True)
class Probe:
    """The probe ``name`` on the controller or a host; it may run or not."""

    name: str
    on: str
    hosts: _remote.Hosts

    def start(self, settings: Settings) -> dict[str, Any]:
        """As :func:`_probe_process.start`. On the controller it ends with this ansible-playbook, whatever ends that."""
        if self.on != CONTROLLER:
            return self._module("started", settings=_kinds.dumps(settings))
        owner = {"pid": os.getppid(), "start": _processes.start_time(os.getppid())}  # actions run in a child of it
        return _probe_process.start(_probe_process.place(self.name), _kinds.dumps(replace(settings, owner=owner)))

    def look(self) -> dict[str, Any]:
        """``running``, and the ``result`` so far."""
        return _probe_process.look(_probe_process.place(self.name)) if self.on == CONTROLLER else self._module("status")

    def stop(self) -> dict[str, Any]:
        """The same, at its end."""
        return _probe_process.stop(_probe_process.place(self.name)) if self.on == CONTROLLER else self._module("stopped")

    def seen(self) -> Mapping[str, Any]:
        """Its result so far."""
        found: dict[str, Any] = self.look()["result"]
        return found or EMPTY

    def _module(self, state: str, **more: Any) -> dict[str, Any]:
        return self.hosts.module(self.on, "probe", {"state": state, "id": self.name, **more})


def name(fleet: _fleet.Fleet, on: str) -> str:
    """What a run calls its probe. Services of one name in two inventories, released from one controller, have two.

    On the controller it goes with this ansible-playbook; elsewhere with the fleet, so that the next run finds one that was left behind.
    """
    about = [os.getppid(), _processes.start_time(os.getppid())] if on == CONTROLLER else [[wish.host, wish.root] for wish in (*fleet.wishes, *fleet.outside)]
    return f"{fleet.service}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:8]}"


EMPTY: Mapping[str, Any] = {"began": 0.0, "ended": 0.0, "due": 0, "answered": 0, "failed": 0, "series": {"start": 0.0, "width": 1.0, "points": []}}


def running(action: ActionBase, task_vars: Mapping[str, Any]) -> Probe | None:
    """The probe that this run started, None if it has none."""
    found = (_task.fact(task_vars, host, FACT) for host in task_vars["ansible_play_hosts_all"])
    about = next((dict(fact) for fact in found if fact), {})
    if not about or about["token"] != _task.lock(task_vars).get("token"):
        return None
    return Probe(about["id"], about["on"], _remote.Hosts(action, task_vars))


def lacking(settings: Settings | None, on: str, task_vars: Mapping[str, Any]) -> str:
    """Why a run's probe cannot run where it shall, as far as that is known before anything starts; '' if nothing stands against it."""
    if settings is None:
        return ""
    if on != CONTROLLER:
        known = on in task_vars["hostvars"]
        return "" if known else f"bluegreen_probe_on is {_values.show(on)}, which is neither controller nor a host of the inventory."
    try:
        _probe_process.refuse_missing([kind.type for kind in settings.kinds])
    except Refusal as error:
        return f"bluegreen_probe: {error} {_rules.IN_IMAGE}"
    return ""


def summary(result: Mapping[str, Any]) -> list[str]:
    """A probe's result in lines."""
    if not result:
        return ["probe: it counted nothing"]
    releases = ", ".join(f"{name or 'no release named'} {count:,}" for name, count in sorted(result["by_release"].items()))
    classes = ", ".join(f"{count:,} {name}" for name, count in sorted(result["by_class"].items(), key=lambda pair: -pair[1]))
    figures = ", ".join(f"{name} {_seconds(value)}" for name, value in result["latency"].items() if value is not None)
    under_way = f", {result['open']:,} under way" if result["open"] else ""
    lines = [
        f"probe: {result['due']:,} requests due, {result['answered']:,} answered{f' ({releases})' if releases else ''}, "
        f"{result['failed']:,} failed{f' ({classes})' if classes else ''}{under_way}{f'; {figures}' if figures else ''}"
    ]
    sockets, late = result["sockets"], result["late"]
    if sockets["opened"]:
        again = f", slowest back after {sockets['slowest_back']:g} s" if sockets["announced"] + sockets["cut"] else ""
        lines.append(f"probe: {sockets['opened']} WebSockets opened, {sockets['announced']} closed as announced, {sockets['cut']} cut{again}")
    if late["requests"]:
        why = "all connections of their kind waited" if late["why"] == "connections" else "the machine of the probe was too slow"
        lines.append(f"probe: {late['requests']:,} requests were sent later than they were due, by {late['seconds']:g} s at most: {why}")
    told = Counter((failure["kind"], failure["class"], failure["detail"], failure["release"]) for failure in result["failures"])
    for (kind, failed, detail, release), count in told.most_common(_SORTS):
        lines.append(f"probe: {count:,} × {kind}: {failed}: {detail}{f' ({release})' if release else ''}")
    return lines


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
