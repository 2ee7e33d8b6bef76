#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: supervisor_program
short_description: Install the program files and launchers of a service's slots
version_added: 0.1.0
description:
  - Installs one supervisor program file and one launcher a slot, and the directories of the service.
  - A program that supervisor knows already is left as it is. What would change it is returned in RV(pending) and put in place
    by M(hotswap.bluegreen.swap) while the slot is drained.
  - supervisord is not told to read or start anything.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
extends_documentation_fragment:
  - hotswap.bluegreen.call.fact
attributes:
  check_mode:
    description: Says what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows program files.
    support: full
"""

EXAMPLES = r"""
- name: Resolve and check this host's variables
  hotswap.bluegreen.preflight:
    role: supervisor_program

- name: Install the slots' programs
  hotswap.bluegreen.supervisor_program:
    wish: "{{ ansible_facts.bluegreen_wish }}"
"""

RETURN = r"""
pending:
  description: Slots whose program file waits for the next swap.
  type: list
  elements: str
  returned: always
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _install, _module


def work(module):
    done = _install.programs(_module.wish(module), dry=module.check_mode)
    return {"changed": done.changed, "pending": list(done.pending), "diff": list(done.diffs)}


if __name__ == "__main__":
    _module.main({"wish": _module.WISH}, work)
