#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: migrate
short_description: Run a release's migration once in the whole fleet, or take it back
version_added: 0.1.0
description:
  - Runs C(bluegreen_migrate) on one host, in the new release, when it is staged on all hosts and no member was touched. The host that keeps
    the lock remembers that it succeeded, so that another run of the same release does not run it again.
  - After a rollback C(state=down) runs C(bluegreen_migrate_down) for the migrations that came after the release that was gone back to,
    the youngest first; without that variable they stay and a warning says so.
  - In a playbook this is an action for all hosts of the play, under the service's lock; the module of the same name remembers.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  state:
    description: C(up) migrates, C(down) takes migrations back. C(seen), C(done) and C(undone) are the action's questions to the lock's host.
    type: str
    choices: [up, down, seen, done, undone]
    default: up
  release:
    description: Whose migration. The action fills it in.
    type: str
    default: ""
extends_documentation_fragment:
  - hotswap.bluegreen.call
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
- name: Migrate once in the whole fleet
  hotswap.bluegreen.migrate:
"""

RETURN = r"""
migrated:
  description: The releases whose migration succeeded, in order, with time and token of the run.
  type: list
  elements: dict
  returned: success
"""

import json
import time

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _files, _hold, _module
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal


def read(path):
    """The migrations that are remembered; a file that says something else is not guessed at."""
    text = _files.read(path)
    try:
        found = json.loads(text) if text else []
        return [{"release": str(entry["release"]), "time": float(entry["time"]), "token": int(entry["token"])} for entry in found]
    except (ValueError, TypeError, KeyError):
        raise Refusal(f"{path} does not hold the migrations that were run. Mend it, or remove it: then the next release runs its migration again.") from None


def work(module):
    wish, release, state = _module.wish(module), module.params["release"], module.params["state"]
    path = f"{_hold.lease_folder(wish)}/migrated.json"
    before = read(path)
    after = before if state == "seen" else [entry for entry in before if entry["release"] != release]
    if state == "done":
        after.append({"release": release, "time": round(time.time(), 3), "token": module.params["token"]})
    if state != "seen" and not module.check_mode:
        _hold.hold(wish, module.params["token"], keeps_lease=True)
        _files.write(path, json.dumps(after) + "\n", 0o600)
    return {"changed": after != before, "migrated": after}


if __name__ == "__main__":
    _module.main(
        {
            **_module.CALL,
            **_module.VERDICT,
            "state": {"type": "str", "choices": ["up", "down", "seen", "done", "undone"], "default": "up"},
            "release": {"type": "str", "default": ""},
        },
        work,
    )
