# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The variables of any inventory host as a task of this play would see them there, and the hosts that the play names.

hostvars see no play vars and no role defaults, and a play under C(--limit) does not know the hosts that were left out.
The variable manager behind hostvars (ansible-core 2.16 to 2.21) knows both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.template import Templar


def play(action: ActionBase) -> Any:
    """The play that the action's task stands in."""
    parent = action._task
    while getattr(parent, "_parent", None) is not None:
        parent = parent._parent
    return getattr(parent, "_play", None)


def of(action: ActionBase, task_vars: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The variables of ``host`` in this very task, not templated yet; those that were left empty on the command line are as without it."""
    manager = getattr(task_vars["hostvars"], "_variable_manager", None)
    found = manager._inventory.get_host(host) if manager is not None else None
    own = host == task_vars["inventory_hostname"]
    if manager is None or found is None:
        return dict(task_vars) if own else dict(task_vars["hostvars"][host])

    def get_vars() -> dict[str, Any]:
        return dict(manager.get_vars(play=play(action), host=found, task=action._task))

    variables = dict(task_vars) if own else get_vars()
    empty = unanswered(task_vars)
    if not empty:
        return variables
    given = manager._extra_vars
    manager._extra_vars = {name: value for name, value in given.items() if name not in empty}
    try:
        below = get_vars()
    finally:
        manager._extra_vars = given
    return {**{name: value for name, value in variables.items() if name not in empty}, **{name: below[name] for name in empty if name in below}}


def unanswered(task_vars: Mapping[str, Any]) -> frozenset[str]:
    """Our variables that are empty as extra vars, as AWX hands on a survey's question that nobody has answered.

    It writes ``!unsafe ""``, which is None from ansible-core 2.19 on. An extra var would hide what the inventory says, and an
    empty answer does not mean that.
    """
    given = getattr(getattr(task_vars["hostvars"], "_variable_manager", None), "_extra_vars", {})
    return frozenset(name for name, value in given.items() if name.startswith("bluegreen_") and value in ("", None))


def templater(action: ActionBase, variables: Mapping[str, Any]) -> Callable[[Any], Any]:
    """What makes values of these variables."""
    template: Callable[[Any], Any] = Templar(loader=action._loader, variables=dict(variables)).template
    return template


def named(action: ActionBase, task_vars: Mapping[str, Any]) -> list[str]:
    """All hosts that the play's ``hosts`` names, in inventory order, whatever the ``--limit``."""
    manager = getattr(task_vars["hostvars"], "_variable_manager", None)
    pattern = getattr(play(action), "hosts", None)
    if manager is None or not pattern:
        return list(task_vars["ansible_play_hosts_all"])
    found = manager._inventory.get_hosts(pattern=pattern, ignore_limits=True, ignore_restrictions=True)
    return [host.name for host in found]
