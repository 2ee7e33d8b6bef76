#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: steps
short_description: Do steps of a swap on this host, and look at it
version_added: 0.1.0
description:
  - Used by M(hotswap.bluegreen.swap). Does the given steps in order until one fails or the slice is over, then observes the host.
  - Every step guards itself on the spot. Without steps the host is only looked at.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  steps:
    description: The steps, as the planner names them.
    type: list
    elements: dict
    default: []
  token:
    description: The run's fencing token; 0 for a call that only looks.
    type: int
    default: 0
  keeps_lease:
    description: Whether the run's lease is kept on this host and is to be extended.
    type: bool
    default: false
  slice:
    description: Seconds after which a wait is handed back to be resumed.
    type: float
    default: 2.0
extends_documentation_fragment:
  - hotswap.bluegreen.call.fact
attributes:
  check_mode:
    description: Only looks.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Look at this host
  hotswap.bluegreen.steps:
    wish: "{{ ansible_facts.bluegreen_wish }}"
  register: seen
"""

RETURN = r"""
state:
  description: The host as seen after the steps, slot by slot, and what its balancer serves.
  type: dict
  returned: success
events:
  description: The steps as they went.
  type: list
  elements: dict
  returned: success
waiting:
  description: The step whose wait is not over, to be sent again.
  type: dict
  returned: success
found:
  description: What a later step, by its name, begins with, in its key C(resume).
  type: dict
  returned: success
failure:
  description: What was expected and seen, with the program's last log lines.
  type: dict
  returned: success
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hold, _module, _steps
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Step, dump, load


def work(module):
    wish = _module.wish(module)
    steps = [] if module.check_mode else [load(Step, step) for step in module.params["steps"]]
    if steps:
        try:
            _hold.hold(wish, module.params["token"], module.params["keeps_lease"])
        except Refusal as error:
            module.fail_json(msg=str(error), lock_lost=True)  # the whole run ends, not only this host's part
    client = None
    if wish.members:  # a host may be a balancer only; its call is shorter by what this brings
        from ansible_collections.hotswap.bluegreen.plugins.module_utils import _supervisor

        client = _supervisor.connect(wish.supervisor)
    outcome = _steps.run(wish, client, steps, module.params["slice"])
    return {
        "changed": any(event.outcome in ("ok", "overtime") for event in outcome.events),
        "events": [dump(event) for event in outcome.events],
        "state": dump(outcome.state),
        "waiting": dump(outcome.waiting) if outcome.waiting else None,
        "failure": dump(outcome.failure) if outcome.failure else None,
        "found": outcome.found,
    }


if __name__ == "__main__":
    _module.main(
        {
            "wish": _module.WISH,
            "steps": {"type": "list", "elements": "dict", "default": []},
            "token": {"type": "int", "default": 0, "no_log": False},
            "keeps_lease": {"type": "bool", "default": False},
            "slice": {"type": "float", "default": 2.0},
        },
        work,
    )
