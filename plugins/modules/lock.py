#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lock
short_description: Take, extend or release the lock of a service
version_added: 0.1.0
description:
  - One run at a time for a service, whatever the C(--limit). The lock is a lease with an owner and a fencing token, kept on the
    service's first host; a dead owner's lease ends by itself.
  - In a playbook this is an action that finds the host and sets the fact C(bluegreen_lock).
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  state:
    description: V(held) takes it or fails naming its owner, V(extended) is a sign of life, V(released) gives it back, V(seen) only says who holds it.
    type: str
    choices: [held, extended, released, seen]
    default: held
  reason:
    description: Why, for whoever meets the lock.
    type: str
    default: release
  until:
    description: V(swap) lets the swap that follows release it, V(released) keeps it for a task with O(state=released).
    type: str
    choices: [released, swap]
    default: released
  wish:
    description: What the host shall run. The action fills it in.
    type: dict
  owner:
    description: Who holds it. The action fills it in.
    type: dict
    default: {}
  token:
    description: The lease to release. The action fills it in.
    type: int
    default: 0
  dead:
    description: Token of a lease whose owner is known to be gone. The action fills it in.
    type: int
    default: 0
  seconds:
    description: How long the lease lasts without a sign of life.
    type: float
    default: 60
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

- name: Release the lock
  hotswap.bluegreen.lock:
    state: released
"""

RETURN = r"""
lease:
  description: The lease in force, with owner, reason, times and token; empty if nobody holds it.
  type: dict
  returned: success
held_by:
  description: The lease in words, if another run holds it.
  type: str
  returned: success
"""

import time

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hold, _lock, _module


def work(module):
    folder = _hold.lease_folder(_module.wish(module))
    wanted = module.params
    held_by = ""
    if wanted["state"] == "seen" or module.check_mode:
        lease = _lock.holder(folder)
    elif wanted["state"] == "extended":
        lease = _lock.extend(folder, wanted["token"], wanted["seconds"])
    elif wanted["state"] == "released":
        _lock.release(folder, wanted["token"])
        lease = None
    else:
        try:
            lease = _lock.acquire(folder, wanted["owner"], wanted["reason"], wanted["seconds"], wanted["dead"])
        except _lock.Held as held:
            lease, held_by = held.lease, _lock.describe(held.lease, time.time())
    return {"changed": False, "lease": dict(lease.__dict__) if lease else {}, "held_by": held_by}


if __name__ == "__main__":
    _module.main(
        {
            "state": {"type": "str", "choices": ["held", "extended", "released", "seen"], "default": "held"},
            "reason": {"type": "str", "default": "release"},
            "until": {"type": "str", "choices": ["released", "swap"], "default": "released"},
            "wish": {"type": "dict"},
            "owner": {"type": "dict", "default": {}},
            "token": {"type": "int", "default": 0, "no_log": False},
            "dead": {"type": "int", "default": 0},
            "seconds": {"type": "float", "default": 60},
        },
        work,
    )
