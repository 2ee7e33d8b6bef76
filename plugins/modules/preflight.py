#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Resolve and check a host's variables, and the host itself, before anything is changed
version_added: 0.1.0
description:
  - Collects the C(bluegreen_*) variables as this host sees them, checks them against the role's argument spec, checks the host,
    and sets the fact C(bluegreen_wish), which all that comes after reads. All findings are told at once.
  - In a playbook this is an action; the module of the same name looks at the host.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  role:
    description: Whose required variables must be there, and what the host must have.
    type: str
    choices: [release, supervisor_program, nginx_upstream, monitoring]
    default: release
  bare:
    description: Whether nginx and supervisor may still be missing, because a later task installs them.
    type: bool
    default: false
  gates:
    description: >-
      Whether C(bluegreen_window) and C(bluegreen_config_checks) are asked, which a release must pass; V(false) for a rollback and for
      maintenance.
    type: bool
    default: true
  wish:
    description: What this host shall run. The action fills it in.
    type: dict
  checks:
    description: What must answer, as JSON. The action fills it in.
    type: str
    default: ""
attributes:
  check_mode:
    description: The same checks, without those that write files (C(nginx -t)).
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Resolve and check this host's variables
  hotswap.bluegreen.preflight:
"""

RETURN = r"""
findings:
  description: What is wrong, a sentence each.
  type: list
  elements: str
  returned: always
doubts:
  description: What may go wrong one day, a sentence each; the action shows them as warnings.
  type: list
  elements: str
  returned: always
time:
  description: The host's clock, in seconds since the epoch.
  type: float
  returned: always
collection:
  description: The version of the collection that released here last, as the host's history has it; empty if it does not say.
  type: str
  returned: always
absent:
  description: What the installation still lacks, a sentence each.
  type: list
  elements: str
  returned: always
"""

import json
import time

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _config_checks, _history, _module, _preflight
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import load


def work(module):
    checks = [load(_config_checks.Check, check) for check in json.loads(module.params["checks"] or "[]")]
    wish = _module.wish(module)
    found = _preflight.check(wish, module.params["role"], module.check_mode, checks)
    told = {"findings": list(found.findings), "doubts": list(found.warnings), "absent": list(found.absent)}
    return {"changed": False, "time": time.time(), "collection": _history.collection(wish.root) if wish.members else "", **told}


if __name__ == "__main__":
    _module.main(
        {
            "role": {"type": "str", "choices": ["release", "supervisor_program", "nginx_upstream", "monitoring"], "default": "release"},
            "bare": {"type": "bool", "default": False},
            "gates": {"type": "bool", "default": True},
            "wish": {"type": "dict"},
            "checks": {"type": "str", "default": "", "no_log": True},
        },
        work,
    )
