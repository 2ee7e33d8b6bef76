#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Decide which release a service goes back to
version_added: 0.1.0
description:
  - Looks at the hosts of the play that run members and decides, once for all of them, to which release a rollback goes. From then on it is the wished
    release of this play, whatever C(bluegreen_release) says, for that variable's users in other variables, too.
  - With C(bluegreen_rollback_to) it is that one. Without, it is the release that was completed before the last one. If something was begun after
    the last completed release and not completed, or a member runs another one, it is that last completed one. A rollback
    that was cut off or failed goes on to where it went.
  - Refused is a release that is unknown, not complete on one of the hosts, or was never good.
  - It asks for the release what it was found good by, and takes its start as it was. Nothing is staged, so neither C(bluegreen_source) nor
    C(bluegreen_command) is needed. Migrations
    are not taken back by it, which it warns of if there is a C(bluegreen_migrate) and no C(bluegreen_migrate_down).
  - This is an action for all hosts of the play at once, and needs C(run_once=true). See the playbook C(hotswap.bluegreen.rollback) for what follows.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  state:
    description:
      - V(chosen) decides, and changes nothing.
      - V(begun), under the service's lock, writes into each host's history where this run goes, so that one that is cut off goes on there.
        Refused if another run changed the service since it was decided.
    type: str
    choices: [chosen, begun]
    default: chosen
  event:
    description: The line for the history. The action fills it in.
    type: dict
    default: {}
  lines:
    description: How many lines the host's history had when it was decided. The action fills it in.
    type: int
    default: 0
extends_documentation_fragment:
  - hotswap.bluegreen.call
  - hotswap.bluegreen.call.lease
attributes:
  check_mode:
    description: Decides, and changes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Find the release to go back to
  hotswap.bluegreen.rollback:
  run_once: true
"""

RETURN = r"""
release:
  description: The release.
  type: str
  returned: success
why:
  description: Why this one, as a part of a sentence.
  type: str
  returned: with O(state=chosen)
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history, _hold, _module


def work(module):
    wish = _module.wish(module)
    if module.check_mode:
        return {"changed": False}
    _hold.hold(wish, module.params["token"], module.params["keeps_lease"])
    _history.begin(wish.root, module.params["lines"], **module.params["event"])
    return {"changed": False}


if __name__ == "__main__":
    _module.main(
        {
            **_module.CALL,
            **_module.LEASE,
            "state": {"type": "str", "choices": ["chosen", "begun"], "default": "chosen"},
            "event": {"type": "dict", "default": {}},
            "lines": {"type": "int", "default": 0},
        },
        work,
    )
