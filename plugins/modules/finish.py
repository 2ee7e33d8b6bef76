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
  - Writes to each host's history how the release ended, and removes the releases that it needs no more, as C(bluegreen_keep_releases) says.
  - Before that, in a playbook, it moves the workers and entries of cron that run once a host or once in the fleet onto the release.
  - In a playbook this is an action for all hosts of the play, after M(hotswap.bluegreen.swap) and under the same lock; it takes everything
    from the C(bluegreen_*) variables. After a swap that failed it only writes that down.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  event:
    description: The line for the history. The action fills it in.
    type: dict
    default: {}
  swapped:
    description: >-
      Whether this run has changed a member. Without it a host that remembers the release as completed remembers nothing more. The action fills it in.
    type: bool
    default: false
  look:
    description: Only say whether the release is still to be brought to its end here. The action fills it in.
    type: bool
    default: false
  prune:
    description: Whether to remove the releases that the host needs no more. The action fills it in.
    type: bool
    default: false
extends_documentation_fragment:
  - hotswap.bluegreen.call
  - hotswap.bluegreen.call.lease
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
due:
  description: Whether the release was still to be brought to its end here.
  type: bool
  returned: success
removed:
  description: The releases that were removed; in a playbook by host.
  type: raw
  returned: success
problems:
  description: What could not be removed, a sentence each. That is no failure.
  type: list
  elements: str
  returned: success
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _adopt, _exporter, _history, _hold, _module, _release, _retention, _supervisor


def work(module):
    wish = _module.wish(module)
    lines = _history.read(wish.root)
    due = module.params["swapped"] or _history.completed(lines)[-1:] != (wish.release,) or bool(_history.tried(lines))
    if module.check_mode or module.params["look"]:
        return {"changed": False, "due": due, "removed": [], "problems": []}
    _hold.hold(wish, module.params["token"], module.params["keeps_lease"])
    event = module.params["event"]
    if event and (due or event.get("event") == _history.FAILED):
        _release.remember(wish.root, **event, **_release.commit(wish.root, wish.release))
    gone = _retention.prune(wish, _supervisor.connect(wish.supervisor)) if module.params["prune"] else _retention.Removed()
    _exporter.refresh(wish)
    problems = [*gone.problems, *(_adopt.leftovers(wish, _supervisor.connect(wish.supervisor)) if wish.adopt else [])]
    return {"changed": bool(gone.releases), "due": due, "removed": list(gone.releases), "problems": problems}


if __name__ == "__main__":
    _module.main(
        {
            **_module.CALL,
            **_module.LEASE,
            "event": {"type": "dict", "default": {}},
            "swapped": {"type": "bool", "default": False},
            "look": {"type": "bool", "default": False},
            "prune": {"type": "bool", "default": False},
        },
        work,
    )
