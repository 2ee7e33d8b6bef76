#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Take, extend, release, look at or break the lock of a service
version_added: 0.1.0
description:
  - One run at a time for a service, whatever the C(--limit). The lock is a lease with an owner and a fencing token, kept on the
    fleet's first balancer. It ends by that host's clock, so a dead owner's ends by itself.
  - The token is written to every host of the fleet before anything is changed. A host refuses a run with an older one, so a run
    that was thought dead and wakes up changes nothing.
  - In a playbook this is an action for all hosts of the play at once. It finds the host that keeps the lock, waits for it as long as
    C(bluegreen_lock_timeout) says, and sets the fact C(bluegreen_lock) for the tasks that follow.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  state:
    description:
      - V(held) takes it, or fails and names its owner. For a run that has it already it is V(extended).
      - V(extended) keeps it for O(seconds) from now on. It never makes it end sooner.
      - V(released) gives it back, if this run has it.
      - V(seen) only says who holds it.
      - V(broken) ends the lock of whoever holds it, with a O(reason). Every host then refuses that run, which is told who broke its lock and why.
      - V(ordered) leaves an O(order) for whoever holds the lock, which a canary hears and obeys. It needs no lock itself.
      - V(obeyed) takes the order away that the run of O(token) has obeyed. The swap does so.
      - V(fenced) writes O(token) as the highest that this host has seen. The action does so on each host when it takes the lock.
    type: str
    choices: [held, extended, released, seen, broken, ordered, obeyed, fenced]
    default: held
  reason:
    description: Why, for whoever meets the lock. Required, and not empty, with O(state=broken) and with O(order=abort).
    type: str
  order:
    description:
      - With O(state=ordered), what the canary that is under way shall do. V(promote) goes on at once, V(abort) goes back to the old release at once.
      - In a playbook the task waits until the run has obeyed, for O(seconds) at most, by default 30.
    type: str
    choices: [promote, abort]
  to:
    description: How far O(order=promote) goes, to the V(next) step, or to V(all) requests.
    type: str
    choices: [next, all]
    default: next
  at:
    description: With O(state=obeyed), when the order was given that was obeyed. The action fills it in.
    type: float
    default: 0
  until:
    description: V(swap) lets the swap that follows release it, V(released) keeps it for a task with O(state=released).
    type: str
    choices: [released, swap]
    default: released
  seconds:
    description: How long the lock lasts without a further sign of life. In a playbook the default is 900.
    type: float
    default: 60
  phase:
    description: Instead of O(seconds), what V(stage), staging, may take on all hosts of the play, from C(bluegreen_build_timeout), their number and the forks.
    type: str
    choices: [stage]
  wish:
    description: What the host shall run. The action fills it in.
    type: dict
  owner:
    description: Who holds or breaks it. The action fills it in.
    type: dict
    default: {}
  token:
    description: The lease that this run has, to extend or release; or the token to write. The action fills it in.
    type: int
    default: 0
  above:
    description: The highest token that a host of the fleet has seen; the lease's becomes a higher one. The action fills it in.
    type: int
    default: 0
  dead:
    description: Token of a lease whose owner is known to be gone. The action fills it in.
    type: int
    default: 0
  shorten:
    description: Whether O(state=extended) may make the lease end sooner than it would. The action fills it in.
    type: bool
    default: true
attributes:
  check_mode:
    description: Only says who holds it.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Take the lock
  hotswap.bluegreen.lock:
    reason: release {{ bluegreen_release }}

- name: Keep it for half an hour of migrations
  hotswap.bluegreen.lock:
    state: extended
    seconds: 1800

- name: Release the lock
  hotswap.bluegreen.lock:
    state: released

- name: See who holds the lock
  hotswap.bluegreen.lock:
    state: seen
  register: lock

- name: End the canary that is under way, as the playbook hotswap.bluegreen.abort does
  hotswap.bluegreen.lock:
    state: ordered
    order: abort
    reason: customers see old prices

- name: Break the lock of a run that hangs, as the playbook hotswap.bluegreen.unlock does
  hotswap.bluegreen.lock:
    state: broken
    reason: its controller lost power at noon
"""

RETURN = r"""
lease:
  description: The lease in force, with owner, reason, times and token; empty if nobody holds it.
  type: dict
  returned: success
held_by:
  description: Who holds the lock, why, since when and until when, in words; with O(state=broken) who held it. Empty if nobody does, or this run.
  type: str
  returned: success
order:
  description: With O(state=extended) and O(state=seen), what the run that holds the lock was told to do and has not done yet; empty if nothing was.
  type: dict
  returned: success
overtaken:
  description: With O(state=fenced), who came to this host with a higher token, in words; empty if nobody did.
  type: str
  returned: success
absent:
  description: With O(state=fenced), what is missing on a host on which the service is not installed.
  type: str
  returned: when it is not
highest:
  description: With O(state=fenced), the highest token that this host has seen.
  type: int
  returned: success
"""

import os
import time
from dataclasses import asdict

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _exporter, _fence, _hold, _lock, _module, _orders
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal


def work(module):
    wish = _module.wish(module)
    state = "seen" if module.check_mode else module.params["state"]
    result = {"changed": False, "lease": {}, "held_by": "", "order": {}, **_STATES[state](module.params, wish, _hold.lease_folder(wish))}
    if module.check_mode and module.params["state"] in ("broken", "ordered"):
        result["changed"] = bool(result["held_by"])
    return result


def _seen(_wanted, _wish, folder):
    lease = _lock.holder(folder)
    return {"lease": asdict(lease), "held_by": _lock.describe(lease, time.time()), "order": _order(folder, lease.token)} if lease else {}


def _order(folder, token):
    order = _orders.heard(folder, token)
    return asdict(order) if order else {}


def _held(wanted, wish, folder):
    above = max(wanted["above"], _fence.highest(_hold.fence_folder(wish))[0])
    reason = wanted["reason"] or "no reason given"
    try:
        return {"lease": asdict(_lock.acquire(folder, wanted["owner"], reason, wanted["seconds"], wanted["dead"], wanted["token"], above))}
    except _lock.Held as held:
        return {"lease": asdict(held.lease), "held_by": _lock.describe(held.lease, time.time())}


def _extended(wanted, _wish, folder):
    lease = _lock.extend(folder, wanted["token"], wanted["seconds"], wanted["shorten"], wanted["above"])
    return {"lease": asdict(lease), "order": _order(folder, lease.token)}


def _released(wanted, wish, folder):
    if os.path.isdir(folder):
        _orders.obeyed(folder, wanted["token"])  # one that came too late is no later run's
        _lock.release(folder, wanted["token"])
        _exporter.refresh(wish)
    return {}


def _broken(wanted, wish, folder):
    if not os.path.isdir(folder):
        return {}
    before = _lock.end(folder, wanted["owner"], wanted["reason"] or "", _fence.highest(_hold.fence_folder(wish))[0])
    return {"changed": True, "lease": asdict(before[1]), "held_by": before[0]} if before else {}


def _ordered(wanted, _wish, folder):
    if not wanted["order"]:
        raise Refusal("an order is needed: promote or abort.")
    lease = _orders.give(folder, wanted["order"], wanted["owner"], wanted["reason"] or "", wanted["to"])
    return {"changed": True, "lease": asdict(lease), "held_by": _lock.describe(lease, time.time())} if lease else {}


def _obeyed(wanted, _wish, folder):
    _orders.obeyed(folder, wanted["token"], wanted["at"])
    return {}


def _fenced(wanted, wish, _folder):
    folder = _hold.fence_folder(wish)
    if _fence.absent(folder):
        return {"absent": _fence.absent(folder)}
    late = _fence.raise_to(folder, wanted["token"], f"{_lock.who(wanted['owner'])}, {wanted['reason'] or 'no reason given'}")
    return {"overtaken": late, "highest": _fence.highest(folder)[0]}


_STATES = {
    "seen": _seen,
    "held": _held,
    "extended": _extended,
    "released": _released,
    "broken": _broken,
    "ordered": _ordered,
    "obeyed": _obeyed,
    "fenced": _fenced,
}


if __name__ == "__main__":
    _module.main(
        {
            "state": {"type": "str", "choices": ["held", "extended", "released", "seen", "broken", "ordered", "obeyed", "fenced"], "default": "held"},
            "reason": {"type": "str"},
            "order": {"type": "str", "choices": ["promote", "abort"]},
            "to": {"type": "str", "choices": ["next", "all"], "default": "next"},
            "at": {"type": "float", "default": 0},
            "until": {"type": "str", "choices": ["released", "swap"], "default": "released"},
            "seconds": {"type": "float", "default": 60},
            "phase": {"type": "str", "choices": ["stage"]},
            "wish": {"type": "dict"},
            "owner": {"type": "dict", "default": {}},
            "token": {"type": "int", "default": 0, "no_log": False},
            "above": {"type": "int", "default": 0},
            "dead": {"type": "int", "default": 0},
            "shorten": {"type": "bool", "default": True},
        },
        work,
    )
