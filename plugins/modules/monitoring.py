#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: monitoring
short_description: Install the exporter of a service's metrics on a host, or take it away
version_added: 0.1.0
description:
  - Writes what the host knows of the service (the release of each member, its state and health, whether its balancer serves it, how long each
    step of its last swap took, releases, failures and rollbacks, the age of the lock) to a file for node_exporter's textfile collector, each
    minute, and at the end of each release and rollback.
  - The exporter is one file, made of the modules that the collection itself uses, and needs nothing but the host's Python.
  - What it is to do is in the wish, from the variables C(bluegreen_monitoring_state), C(bluegreen_monitoring_by) and
    C(bluegreen_monitoring_textfile_dir).
author:
  - The hotswap.bluegreen maintainers (@hotswap)
extends_documentation_fragment:
  - hotswap.bluegreen.call.fact
attributes:
  check_mode:
    description: Says what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows what starts the exporter.
    support: full
"""

EXAMPLES = r"""
- name: Resolve and check this host's variables
  hotswap.bluegreen.preflight:
    role: monitoring

- name: Install the exporter
  hotswap.bluegreen.monitoring:
    wish: "{{ ansible_facts.bluegreen_wish }}"
"""

RETURN = r"""
textfile:
  description: The file that node_exporter reads.
  type: str
  returned: success
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _exporter, _module, _monitoring


def work(module):
    wish = _module.wish(module)
    done = _monitoring.install(wish, dry=module.check_mode)
    return {"changed": done.changed, "textfile": _exporter.textfile(wish), "diff": list(done.diffs)}


if __name__ == "__main__":
    _module.main({"wish": _module.WISH}, work)
