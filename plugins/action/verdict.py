# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Book what failed in a swap on the host whose fault it was, so that Ansible's recap and AWX show the right one."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _task, _whole


class ActionModule(ActionBase):
    """C(hotswap.bluegreen.verdict): fails on the hosts that failed."""

    _VALID_ARGS = frozenset()

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        here = variables["inventory_hostname"]
        if not _whole.is_checked(variables, here):  # else nothing would have been done, and look well
            return {**result, "failed": True, "msg": f"{_whole.unchecked(here)}\nNothing was changed."}
        booked = _task.verdict(variables)
        texts = [booked[here]] if here in booked else []
        if here == variables["ansible_play_hosts"][0]:  # what happened on a host that is not in the play must fail somewhere
            texts += [text for host, text in booked.items() if host not in variables["ansible_play_hosts"]]
        if texts:
            return {**result, "failed": True, "msg": "\n".join(texts)}
        return {**result, "changed": False, "msg": "this host did its part" if not booked else f"not the one that failed: {', '.join(booked)}"}
