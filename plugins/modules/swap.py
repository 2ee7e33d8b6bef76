#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swap
short_description: Walk a release through all members of a service, without one failed request
version_added: 0.1.0
description:
  - For each member, the standby slot first - switch the balancer away from it (no reload), wait until its connections are gone,
    stop it, wait until its processes and its port are gone, point it to the release, start it, wait until the listener on its port is its
    own process and it was healthy several times in a row, switch the balancer back.
  - Every nginx that serves a member takes part, each host's own and the hosts of C(bluegreen_balancers), reached with their own connection and
    become; a member is stopped only when all of them say that it is out. C(bluegreen_serial) hosts are swapped at the same time.
  - The first member that fails ends the spread and goes back to the release it had; what becomes of the others says C(bluegreen_on_failure).
    A host that is lost ends the spread, too; nothing else is touched then. Running again goes on where the run ended.
  - This is an action that walks all hosts of the play in one task. It reads the fact C(bluegreen_wish) of each host, which
    M(hotswap.bluegreen.preflight) sets, and the fact C(bluegreen_lock) of M(hotswap.bluegreen.lock); without one it takes the lock for itself.
  - Not with C(strategy=free), C(serial), C(loop) or C(delegate_to).
author:
  - The hotswap.bluegreen maintainers (@hotswap)
extends_documentation_fragment:
  - hotswap.bluegreen.call.verdict
attributes:
  check_mode:
    description: Prints the plan and changes nothing.
    support: full
  diff_mode:
    description: Shows the plan in check mode.
    support: full
"""

EXAMPLES = r"""
- name: Stage and swap
  hosts: app
  gather_facts: false
  roles:
    - hotswap.bluegreen.release
  tasks:
    - name: Swap the release in
      hotswap.bluegreen.swap:
"""

RETURN = r"""
events:
  description: The steps as they went, with member, outcome, start (seconds since the epoch) and duration in seconds.
  type: list
  elements: dict
  returned: always
booked:
  description: What failed, by the host whose fault it was.
  type: dict
  returned: failure
calls:
  description: Remote calls of the walk, waits included.
  type: int
  returned: always
lost:
  description: The hosts that were lost on the way, and how.
  type: dict
  returned: always
members:
  description: Every member at the end - release, supervisor's state, health, whether it serves and on which balancers, whether its host is lost.
  type: dict
  returned: always
planned:
  description: The steps that would be done.
  type: list
  elements: str
  returned: in check mode
reloads:
  description: How many times nginx was reloaded.
  type: int
  returned: always
seconds:
  description: How long the swap took.
  type: float
  returned: always
walks:
  description: Seconds that the controller waited for each host, whose members travel in one call; transport included.
  type: dict
  returned: always
"""
