#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell what every member of a service runs, and what is not as it should be
version_added: 0.1.0
description:
  - Looks at all hosts of the play at once, at the service's balancers and at the host that keeps its lock. Changes nothing, takes no lock, and
    needs neither a release nor a source nor an application that runs.
  - A host that does not answer is shown as such and is no failure.
  - In a playbook this is an action for all hosts of the play; it takes everything from the C(bluegreen_*) variables.
    The playbook C(hotswap.bluegreen.status) prints what it finds.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  print:
    description: What to write to the terminal. The result has all of it in any case.
    type: str
    choices: [nothing, text, json]
    default: nothing
  expect:
    description: >-
      A release. Where a member that is not in maintenance serves another one, or anything else is not as it should be, the task fails and says
      what. By default nothing is expected, and what is not as it should be is only told.
    type: str
    default: ""
  wish:
    description: What the host runs. The action fills it in.
    type: dict
  keeps_lease:
    description: Whether the service's lock is kept on this host. The action fills it in.
    type: bool
    default: false
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: What runs where
  hosts: app
  gather_facts: false
  tasks:
    - name: Look at the service
      hotswap.bluegreen.release_info:
      register: shop

    - name: Fail if anything is not as it should be
      ansible.builtin.assert:
        that: not shop.drift
"""

RETURN = r"""
service:
  description: The service.
  type: str
  returned: success
members:
  description:
    - Every member, with C(member), C(host), C(slot), C(port), C(state) (supervisor's word), C(serving) (whether a balancer gives it requests) and
      C(balancers) (those that do), C(release), C(since) (when that came to serve there, seconds since the epoch, 0 if not known), C(healthy) and
      C(seen), C(connections), C(pid), C(uptime), C(current), C(previous) and C(drift).
    - C(drift) is a list of what is not as it should be, in words.
  type: list
  elements: dict
  returned: success
drift:
  description: All that is not as it should be, a sentence each.
  type: list
  elements: str
  returned: success
hints:
  description: What may keep a member that looks well from answering with new code, a sentence each; see docs/troubleshooting.md.
  type: list
  elements: str
  returned: success
completed:
  description: The releases that were completed on all hosts that answered, the last one last, as a rollback goes back through them.
  type: list
  elements: str
  returned: success
releases:
  description: By host, the releases on its disk, with C(staged) (seconds since the epoch), C(marks) by slot, and the places where they are C(lacking).
  type: dict
  returned: success
workers:
  description: Programs without a port and entries of cron, each with C(host), C(id), C(scope), C(slot), C(state), C(pid), C(release) and C(seconds).
  type: list
  elements: dict
  returned: success
maintenance:
  description: By balancer, the members that a person took out of it - by whom, why, since when.
  type: dict
  returned: success
lock:
  description: Who holds the lock of the service, in words; empty if nobody does.
  type: str
  returned: success
history:
  description: By host, the newest lines of its history.
  type: dict
  returned: success
unreachable_hosts:
  description: The hosts that did not answer, and how.
  type: dict
  returned: success
text:
  description: The table.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _info, _module


def work(module):
    return {"changed": False, **_info.look(_module.wish(module), module.params["keeps_lease"])}


if __name__ == "__main__":
    _module.main(
        {
            "print": {"type": "str", "choices": ["nothing", "text", "json"], "default": "nothing"},
            "expect": {"type": "str", "default": ""},
            "wish": {"type": "dict"},
            "keeps_lease": {"type": "bool", "default": False},
        },
        work,
    )
