# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is fit for what is asked, seen from the controller: what the host says of itself, its clock, what else must answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _config_checks, _maintenance
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump

from . import _clocks, _fleet, _remote, _wish
from ._runner import Lost

_NOT_HANDED_OVER = "Failed to set permissions on the temporary files"  # ansible-core 2.16 to 2.21
_OFF, _WRONG = 5.0, 300.0  # seconds between two clocks that are worth a warning, and that are too many


def look(action: ActionBase, resolved: _wish.Resolved, role: str, task_vars: Mapping[str, Any], gates: bool) -> dict[str, Any]:
    """What the module finds on this host; the first host of the service lets those be looked at that the play does not have.

    With ``gates`` it says, too, whether all answers that a release needs.
    """
    wish = resolved.wish
    checks = resolved.config_checks if gates and wish.members else ()
    beyond = _fleet.beyond(action, task_vars, role)
    here = [check for check in checks if check.on == "controller" and not (action._task.check_mode and check.command)]
    failing = _config_checks.findings(here, "", "the controller") if beyond.is_first else []
    sent = [asdict(check) for check in checks if check.on == "host" and not (action._task.check_mode and check.command)]
    arguments = {"role": role, "checks": json.dumps(sent) if sent else ""}
    found = _timed(wish.host, lambda: _asked(action, {**arguments, "wish": dump(wish)}, task_vars))
    if found.get("failed") or found.get("unreachable"):
        return found
    found["findings"] = [*found["findings"], *failing]
    found["doubts"] = [*(resolved.doubts if beyond.is_first and role == "release" else ()), *found["doubts"]]
    if role != "release":
        if beyond.balancers:
            action._display.warning(f"{' and '.join(balancer.host for balancer in beyond.balancers)}: not in this play, so nothing is installed there.")
        return found
    hosts = _remote.Hosts(action, task_vars)
    known: dict[str, Wish] = {balancer.host: balancer for balancer in beyond.balancers}

    def ask(host: str) -> dict[str, Any]:
        return _timed(host, lambda: hosts.module(host, "preflight", {"role": role, "wish": dump(known[host])}))

    for host, answer in hosts.all(list(known), ask).items():
        for kind in ("findings", "doubts", "absent"):
            found[kind] = [*found[kind], *(f"{host}: {text}" for text in answer[kind])]
    return found


def _asked(action: ActionBase, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """The module's answer. It is the first thing of a run that goes to the host, so become shows here whether it works at all."""
    try:
        return dict(action._execute_module("hotswap.bluegreen.preflight", arguments, task_vars=dict(task_vars)))
    except AnsibleError as error:
        if _NOT_HANDED_OVER not in str(error):
            raise
        user = action.get_become_option("become_user")
        raise Refusal(
            f"ansible_become_user is {user!r}, to whom Ansible cannot hand over its files: neither root nor who logs in, and this host has no setfacl. "
            "Leave it at root, or turn pipelining on (ANSIBLE_PIPELINING=True), or install the package acl on this host."
        ) from error


def worked_on(action: ActionBase, task_vars: Mapping[str, Any], wish: Wish) -> str:
    """Who works on a host that does not answer, if all of its members are in maintenance on balancers that are other hosts; else ''."""
    if not wish.members or wish.host in wish.balancers:
        return ""
    known = {name: _fleet.wish_of(action, task_vars, name) for name in wish.balancers}
    remote = _remote.Hosts(action, task_vars)

    def look(name: str) -> dict[str, dict[str, Any]]:
        try:
            seen = remote.observe(known[name]).balancer
        except (Refusal, Lost):  # what it knows, another one knows as well
            return {}
        return seen.maintenance if seen else {}

    marks = {member: note for found in remote.all(list(known), look).values() for member, note in found.items()}
    notes = [marks[member.id] for member in wish.members if member.id in marks]
    return _maintenance.words(notes[0]) if len(notes) == len(wish.members) else ""


def _timed(host: str, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer of the call, with what is to be said of the host's clock."""
    before = time.time()
    found = call()
    if "time" in found:
        off = _clocks.apart(before, found["time"], time.time())
        kind = "findings" if abs(off) > _WRONG else "doubts"
        found[kind] = [*found[kind], *clock(off)]
    return found


def clock(off: float) -> list[str]:
    """What is to be said of a host's clock that is so much ahead of the controller's."""
    if abs(off) <= _OFF:
        return []
    return [
        f"the clock of this host is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the controller's: histories, leases and certificates are by it. "
        "Set it (chrony, systemd-timesyncd), or the controller's."
    ]
