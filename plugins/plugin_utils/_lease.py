# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's lock, seen from the controller: where it is kept, how it is taken, and whose dead lock may be taken over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump

from . import _remote, _task

PATIENCE = 900.0  # seconds a lease lasts before the first phase extends it


def _keeper(variables: Mapping[str, Any]) -> Wish:
    """The wish of the host that keeps the lock: the fleet's first, so that every run meets it there."""
    return _task.wishes(variables)[0]


def _call(action: ActionBase, variables: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    wish = _keeper(variables)
    return _remote.Hosts(action, variables).module(wish.host, "lock", {"wish": dump(wish), **arguments})


def seen(action: ActionBase, variables: Mapping[str, Any]) -> str:
    """Who holds the lock, in words; '' if nobody does or nothing is installed yet."""
    if _task.unknown(variables, _keeper(variables).host):
        return ""
    lease = _call(action, variables, {"state": "seen"})["lease"]
    return f"{lease['owner']['user']}@{lease['owner']['controller']}, {lease['reason']}" if lease else ""


def take(action: ActionBase, variables: Mapping[str, Any], reason: str, seconds: float) -> dict[str, Any]:
    """Take the lock for this run: its token and host. :class:`Refusal` names the owner if another run has it."""
    mine = _task.owner(variables)
    wanted = {"state": "held", "owner": mine, "reason": reason, "seconds": seconds}
    answer = _call(action, variables, wanted)
    if answer["held_by"] and _task.is_gone(answer["lease"]["owner"], mine):
        answer = _call(action, variables, {**wanted, "dead": answer["lease"]["token"]})
    if answer["held_by"]:
        raise Refusal(f"another run holds the lock of {_keeper(variables).service}: {answer['held_by']}. Wait for its end; a dead run's lock ends by itself.")
    return {"token": answer["lease"]["token"], "host": _keeper(variables).host}


def release(action: ActionBase, variables: Mapping[str, Any], lock: Mapping[str, Any]) -> None:
    """Give the lock back, if this run has it."""
    if lock:
        _call(action, variables, {"state": "released", "token": lock["token"]})
