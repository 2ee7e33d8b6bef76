#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stage
short_description: Get a release on a host, verified and built, before any member is touched
version_added: 0.1.0
description:
  - Brings the release to C(<root>/releases), with its configuration, builds it, copies it to each slot and writes each slot's start.
  - Of a directory or a git commit only the files that the host does not have yet are sent; the others are hard links to those of an earlier release.
  - A stage that fails or is cut off leaves nothing that could be mistaken for a release. A second one changes nothing.
  - In a playbook this is an action that takes everything from the C(bluegreen_*) variables; see the role P(hotswap.bluegreen.release#role).
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  source:
    description: Archive on this host or URL, its name, checksum and digest. The action fills it in.
    type: dict
  build:
    description: Command, place and timeout of the build. The action fills it in.
    type: dict
    default: {}
  environment:
    description: Environment of the program, as JSON. The action fills it in.
    type: str
    default: "{}"
  configuration:
    description: The files of C(bluegreen_config_files), rendered, as JSON. The action fills it in.
    type: str
    default: "[]"
extends_documentation_fragment:
  - hotswap.bluegreen.call
  - hotswap.bluegreen.call.lease
attributes:
  check_mode:
    description: Says whether the release would be staged.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Stage the release of the bluegreen_* variables
  hotswap.bluegreen.stage:
"""

RETURN = r"""
needs_content:
  description: The release is not here and the archive's path was not given; nothing was changed.
  type: bool
  returned: success
commit:
  description: The commit that bluegreen_source's version is.
  type: str
  returned: if bluegreen_source is a git repository
has:
  description: The contents of this host's earlier releases, shortened. The action takes it out.
  type: str
  returned: if a release's files are asked for
pending:
  description: Slots whose start waits for the next swap.
  type: list
  elements: str
  returned: success
"""

import json

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _configuration, _hold, _hooks, _module, _stage, _tree
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal


def work(module):
    wish = _module.wish(module)
    source = _stage.known_by_content(_stage.Source(**module.params["source"]))
    build = dict(module.params["build"])
    build = _stage.Build(**{**build, "command": tuple(build.get("command", ()))})
    configuration = _configuration.load(module.params["configuration"])
    complete = _stage.is_staged(wish, source.digest, build, configuration)
    environment = json.loads(module.params["environment"])
    if module.check_mode:
        pending = _stage.would_wait(wish, environment)
        return {"changed": not complete or bool(pending), "needs_content": not complete, "pending": list(pending)}
    if not (complete or source.path or source.url):
        return {"changed": False, "needs_content": True, "pending": [], "has": _stage.contents(wish) if source.tree else ""}
    token, keeps_lease = module.params["token"], module.params["keeps_lease"]
    _hold.begin(wish, token, keeps_lease, _hold.staging_seconds(build.timeout))
    try:
        done = _stage.stage(wish, source, build, environment, lambda: _hold.hold(wish, token, keeps_lease=False), configuration)
    except _tree.Lacking:
        return {"changed": False, "needs_content": True, "pending": [], "has": ""}
    unusable = _hooks.unusable_in_release(wish)
    if unusable:
        raise Refusal("\n".join(unusable))
    return {"changed": done.changed, "needs_content": False, "pending": list(done.pending)}


if __name__ == "__main__":
    _module.main(
        {
            **_module.CALL,
            **_module.LEASE,
            "source": {"type": "dict"},
            "build": {"type": "dict", "default": {}},
            # One string: of a dictionary every value would be blotted out of everything that is returned.
            "environment": {"type": "str", "default": "{}", "no_log": True},
            "configuration": {"type": "str", "default": "[]", "no_log": True},
        },
        work,
    )
