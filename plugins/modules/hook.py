#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: hook
short_description: Run the user's commands at one moment of a release
version_added: 0.1.0
description:
  - Runs what C(bluegreen_before_release), C(bluegreen_after_release) or C(bluegreen_on_rollback) say, in their order, each on all hosts of the
    run, on one host or on the controller, and waits for their end. Those of a single member's moments are run by M(hotswap.bluegreen.swap).
  - A command is the service's user's, in the directory and with the environment of the release, and is told what happens in C(BLUEGREEN_*) variables.
  - In a playbook this is an action for all hosts of the play, under the service's lock; the module of the same name runs one command on a host.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  at:
    description: The moment whose commands are run.
    type: str
    choices: [before_release, after_release, on_rollback]
    default: before_release
  step:
    description: The command, and what it is told. The action fills it in.
    type: dict
    default: {}
  told:
    description: The variables for a host that does not run the service. The action fills it in.
    type: dict
    default: {}
extends_documentation_fragment:
  - hotswap.bluegreen.call
  - hotswap.bluegreen.call.lease
  - hotswap.bluegreen.call.verdict
attributes:
  check_mode:
    description: Says what would be run, and runs nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Run what is to be done before the first member is touched
  hotswap.bluegreen.hook:
    at: before_release
"""

RETURN = r"""
events:
  description: The commands as they went.
  type: list
  elements: dict
  returned: success
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hold, _hooks, _module
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Step, dump, load


def work(module):
    step = load(Step, module.params["step"])
    if module.check_mode or step.hook is None:
        return {"changed": False}
    if module.params["wish"]:
        wish = _module.wish(module)
        _hold.hold(wish, module.params["token"], module.params["keeps_lease"])
        command = _hooks.in_release(wish, step.hook, _hooks.slot_of(wish, step), step.release, _hooks.variables(wish, step))
        folder = _hooks.own_folder(wish, step)
    else:
        command, folder = _hooks.anywhere(step.hook, module.params["told"]), ""
    event, waiting, failure = _hooks.once(step, step.host, command, folder)
    return {
        "changed": True,
        "event": dump(event),
        "waiting": dump(waiting) if waiting else None,
        "failure": dump(failure) if failure else None,
    }


if __name__ == "__main__":
    _module.main(
        {
            **_module.CALL,
            **_module.LEASE,
            **_module.VERDICT,
            "at": {"type": "str", "choices": ["before_release", "after_release", "on_rollback"], "default": "before_release"},
            "step": {"type": "dict", "default": {}},
            "told": {"type": "dict", "default": {}},
        },
        work,
    )
