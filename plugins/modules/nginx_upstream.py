#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_upstream
short_description: Install the pools, the link and the switch of a service in nginx
version_added: 0.1.0
description:
  - Declares the pools that a release needs (all members, and all without one, for each), the link that names the pool in use,
    and a server block or files to include in one.
  - A change is tested with C(nginx -t), reloaded, and waited for until every worker serves it; otherwise all is put back.
  - The link is created and from then on left alone, so that a drain is never undone.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
extends_documentation_fragment:
  - hotswap.bluegreen.call.fact
attributes:
  check_mode:
    description: Says what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows the pools, the server block and the link.
    support: full
"""

EXAMPLES = r"""
- name: Resolve and check this host's variables
  hotswap.bluegreen.preflight:
    role: nginx_upstream

- name: Install the service's pools
  hotswap.bluegreen.nginx_upstream:
    wish: "{{ ansible_facts.bluegreen_wish }}"
"""

RETURN = r"""
reloaded:
  description: Whether nginx was reloaded.
  type: bool
  returned: always
running:
  description: Whether nginx runs.
  type: bool
  returned: always
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _install, _module


def work(module):
    done = _install.balancer(_module.wish(module), dry=module.check_mode)
    warnings = [] if done.running or module.check_mode else ["nginx does not run yet; its configuration is in place and valid. Start it."]
    return {
        "changed": done.changed,
        "reloaded": done.reloaded,
        "running": done.running,
        "diff": list(done.diffs),
        "warnings": warnings,
    }


if __name__ == "__main__":
    _module.main({"wish": _module.WISH}, work)
