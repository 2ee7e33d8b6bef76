# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's lock, seen from the controller: where it is kept, how it is taken, and whose dead lock may be taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump, load

from . import _fleet, _remote, _task

PATIENCE = 900.0  # seconds a lease lasts before the first phase extends it


def _call(action: ActionBase, variables: Mapping[str, Any], keeper: Wish, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return _remote.Hosts(action, variables).module(keeper.host, "lock", {"wish": dump(keeper), **arguments})


def seen(action: ActionBase, variables: Mapping[str, Any]) -> str:
    """Who holds the lock, in words; '' if nobody does or nothing is installed yet."""
    keeper = _fleet.of(action, variables).keeper
    if _task.unknown(variables, keeper.host):
        return ""
    lease = _call(action, variables, keeper, {"state": "seen"})["lease"]
    return f"{lease['owner']['user']}@{lease['owner']['controller']}, {lease['reason']}" if lease else ""


def take(action: ActionBase, variables: Mapping[str, Any], reason: str, seconds: float) -> dict[str, Any]:
    """Take the lock for this run: its token and host. :class:`Refusal` names the owner if another run has it."""
    mine = _task.owner(variables)
    keeper = _fleet.of(action, variables).keeper
    wanted = {"state": "held", "owner": mine, "reason": reason, "seconds": seconds}
    answer = _call(action, variables, keeper, wanted)
    if answer["held_by"] and _task.is_gone(answer["lease"]["owner"], mine):
        answer = _call(action, variables, keeper, {**wanted, "dead": answer["lease"]["token"]})
    if answer["held_by"]:
        raise Refusal(f"another run holds the lock of {keeper.service}: {answer['held_by']}. Wait for its end; a dead run's lock ends by itself.")
    return {"token": answer["lease"]["token"], "host": keeper.host, "wish": dump(keeper)}


def release(action: ActionBase, variables: Mapping[str, Any], lock: Mapping[str, Any]) -> None:
    """Give the lock back, if this run has it."""
    if lock:
        _call(action, variables, load(Wish, lock["wish"]), {"state": "released", "token": lock["token"]})
