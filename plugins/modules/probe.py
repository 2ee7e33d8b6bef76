#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: probe
short_description: Send requests while something goes on, and count what fails
version_added: 0.1.0
description:
  - Starts a process that sends requests of several kinds on a fixed schedule, whether those before have been answered or not, asks it what it
    has counted so far, and stops it. Nothing is tried twice, no redirect is followed, no cookie is kept.
  - Every request that was due ends as answered or failed, with its class. Latency counts from the moment at which a request was due.
  - Without O(id) it is the probe of a release, as C(bluegreen_probe) and the variables beside it say; release.yml and rollback.yml start and stop
    it. With O(id) it is one of your own, for whatever a playbook of yours does.
  - A probe on the controller ends when its ansible-playbook is gone, every probe at its limit.
  - It is an action for all hosts of the play.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
requirements:
  - requests (apt python3-requests), where the probe runs
  - websocket-client (apt python3-websocket), for kinds of type V(websocket)
options:
  state:
    description:
      - V(started) asks each kind once; if all have a right answer, or O(down=allow), the probe begins.
      - V(status) returns what was counted so far.
      - V(stopped) ends it. What is under way ends with its answer or its time, nothing else is due any more.
    type: str
    choices: [started, status, stopped]
    required: true
  id:
    description: The name of a probe of your own. There is one with a name at a time, for a user on a machine.
    type: str
  "on":
    description: Where it runs, V(controller) or a host of the inventory.
    type: str
    default: controller
  kinds:
    description: Kinds of requests, as in C(bluegreen_probe).
    type: list
    elements: dict
  url:
    description: Where the kinds' paths begin, as in C(bluegreen_probe_url).
    type: str
  limit:
    description: Seconds after which it ends by itself.
    type: float
    default: 3600
  release:
    description: Where an answer says which release gave it, C(header) with a name, or C(json) with a dotted path. Default is the header C(X-Release).
    type: dict
  down:
    description: Whether it begins although a kind has no right answer.
    type: str
    choices: [refuse, allow]
    default: refuse
  settings:
    description: All that the process is told, with the headers. The action fills it in.
    type: str
attributes:
  check_mode:
    description: Sends nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Restart the database behind a shop that goes on
  block:
    - name: Send requests meanwhile
      hotswap.bluegreen.probe:
        state: started
        id: database
        url: http://shop.example
        kinds:
          - name: front
            rate: 20
          - name: order
            method: POST
            path: /orders
            body: '{"article": 1}'
            headers:
              Content-Type: application/json
            status: 201
            connection: new
            rate: 5

    - name: Restart it
      ansible.builtin.service:
        name: postgresql
        state: restarted
      delegate_to: db1
  always:
    - name: Count what failed
      hotswap.bluegreen.probe:
        state: stopped
        id: database
      register: seen

- name: No request may have failed
  ansible.builtin.assert:
    that: seen.result.failed == 0
    fail_msg: "{{ seen.result.failures | first }}"
"""

RETURN = r"""
running:
  description: Whether the probe runs.
  type: bool
  returned: with state status or stopped
down:
  description: With O(state=started), the kinds that had no right answer, and why.
  type: dict
  returned: with state started
result:
  description: What was counted, as documented in docs/probe.md; empty if there was no probe.
  type: dict
  returned: with state status or stopped
  contains:
    due:
      description: Requests that were due.
      type: int
    answered:
      description: Those with a right answer.
      type: int
    failed:
      description: Those without one. What is neither is under way (C(open)).
      type: int
    by_class:
      description: How many failed how, C(refused), C(reset), C(closed), C(timeout), C(status), C(content), C(network) or C(cut).
      type: dict
    by_release:
      description: Which release gave how many right answers.
      type: dict
    latency:
      description: Seconds from the moment at which requests were due, C(p50), C(p95), C(p99) and C(max).
      type: dict
    failures:
      description: The first thousand failures, each with its time, kind, class and detail.
      type: list
      elements: dict
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _module, _probe_process


def work(module):
    folder = _probe_process.place(module.params["id"])
    state = module.params["state"]
    if module.check_mode:
        return {"changed": False}
    if state == "started":
        return {"changed": True, **_probe_process.start(folder, module.params["settings"])}
    return {"changed": state == "stopped", **(_probe_process.stop if state == "stopped" else _probe_process.look)(folder)}


if __name__ == "__main__":
    _module.main(
        {
            "state": {"type": "str", "choices": ["started", "status", "stopped"], "required": True},
            "id": {"type": "str"},
            "on": {"type": "str", "default": "controller"},
            "kinds": {"type": "list", "elements": "dict"},
            "url": {"type": "str"},
            "limit": {"type": "float", "default": 3600},
            "release": {"type": "dict"},
            "down": {"type": "str", "choices": ["refuse", "allow"], "default": "refuse"},
            "settings": {"type": "str", "no_log": True},
        },
        work,
    )
