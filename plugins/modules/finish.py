#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: finish
short_description: Bring a release to its end, after the swap
version_added: 0.1.0
description:
  - Writes to each host's history how the release ended.
  - In a playbook this is an action for all hosts of the play, after M(hotswap.bluegreen.swap) and under the same lock; it takes everything
    from the C(bluegreen_*) variables. After a swap that failed it only writes that down.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  wish:
    description: What this host shall run. The action fills it in.
    type: dict
  token:
    description: The run's fencing token. The action fills it in.
    type: int
    default: 0
  keeps_lease:
    description: Whether the run's lease is kept on this host. The action fills it in.
    type: bool
    default: false
  event:
    description: The line for the history. The action fills it in.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Bring the release to its end
  hotswap.bluegreen.finish:
"""

RETURN = r"""
changed:
  description: Whether anything but the history was changed.
  type: bool
  returned: always
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hold, _module, _release


def work(module):
    wish = _module.wish(module)
    if module.check_mode:
        return {"changed": False}
    _hold.hold(wish, module.params["token"], module.params["keeps_lease"])
    if module.params["event"]:
        _release.remember(wish.root, **module.params["event"])
    return {"changed": False}


if __name__ == "__main__":
    _module.main(
        {
            "wish": {"type": "dict"},
            "token": {"type": "int", "default": 0, "no_log": False},
            "keeps_lease": {"type": "bool", "default": False},
            "event": {"type": "dict", "default": {}},
        },
        work,
    )
