#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maintenance
short_description: Take members out of every balancer for maintenance, and bring them back
version_added: 0.1.0
description:
  - Draining takes the named members out of every nginx that serves them, as carefully as a swap does (who stays must answer and be enough,
    connections may end), and marks them with who works on them and why. Their processes stay as they are.
  - A marked member is left alone by every release, rollback and role run until it is enabled again; no balancer lets it in, and it does
    not count for C(bluegreen_min_serving). The mark on any one balancer counts.
  - Enabling brings it to the last release that was completed on the service's hosts, with the steps of a swap, and takes the mark away when it serves.
  - This is an action for all hosts of the play, for C(hotswap.bluegreen.drain) and C(hotswap.bluegreen.enable). Doing either twice changes nothing.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  state:
    description:
      - V(draining) and V(enabling) check what is asked for, and come before the lock; they need C(run_once).
      - V(drained) and V(enabled) do it, under the lock.
    type: str
    choices: [draining, drained, enabling, enabled]
  members:
    description: Hosts, or members as C(host/slot), for V(draining) and V(enabling); a list, or text with commas.
    type: raw
  reason:
    description: Why they are drained. Required with V(draining).
    type: str
    default: ""
  mark:
    description: Who works on which members. The action fills it in.
    type: dict
    default: {}
  lift:
    description: Members that nobody works on any more. The action fills it in.
    type: list
    elements: str
    default: []
  event:
    description: The line for the history, if it has another release as its last one. The action fills it in.
    type: dict
    default: {}
extends_documentation_fragment:
  - hotswap.bluegreen.call
  - hotswap.bluegreen.call.lease
attributes:
  check_mode:
    description: Prints the plan and changes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Drain members under the service's lock
  hosts: app
  gather_facts: false
  tasks:
    - name: Check what is asked for
      hotswap.bluegreen.maintenance:
        state: draining
        members: web2, web3/blue
        reason: disk change
      run_once: true

    - name: Take the lock
      hotswap.bluegreen.lock:
        reason: drain web2 and web3/blue

    - name: Take them out
      hotswap.bluegreen.maintenance:
        state: drained

    - name: Release the lock
      hotswap.bluegreen.lock:
        state: released
"""

RETURN = r"""
members:
  description: The members, as C(host/slot).
  type: list
  elements: str
  returned: success
release:
  description: The release that they are brought to.
  type: str
  returned: when they are enabled
events:
  description: The steps as they went.
  type: list
  elements: dict
  returned: when they are drained or enabled
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _hold, _maintenance, _module, _release


def work(module):
    wish, asked = _module.wish(module), module.params
    if module.check_mode:
        return {"changed": False}
    _hold.hold(wish, asked["token"], asked["keeps_lease"])
    changed = bool(wish.pool) and _maintenance.change(wish, asked["mark"], asked["lift"])
    event = asked["event"]
    if event and wish.members and _history.past(_history.read(wish.root)).last != event["release"]:
        _release.remember(wish.root, **event)
    return {"changed": changed}


if __name__ == "__main__":
    _module.main(
        {
            **_module.CALL,
            **_module.LEASE,
            "state": {"type": "str", "choices": ["draining", "drained", "enabling", "enabled"]},
            "members": {"type": "raw"},
            "reason": {"type": "str", "default": ""},
            "mark": {"type": "dict", "default": {}},
            "lift": {"type": "list", "elements": "str", "default": []},
            "event": {"type": "dict", "default": {}},
        },
        work,
    )
