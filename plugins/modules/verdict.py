#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verdict
short_description: Fail on the hosts that failed in a swap
version_added: 0.1.0
description:
  - A swap is one task for all hosts, so Ansible books its failure on the play's first host. After a M(hotswap.bluegreen.swap) with
    C(verdict=later) this one fails on each host whose fault it was, with its own message, and succeeds on the others, so that the
    recap and AWX show the right one. What failed on a host that is not in the play is booked on the play's first host.
  - It is an action and runs on the controller alone.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
attributes:
  check_mode:
    description: A check books nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Swap the release in
  hotswap.bluegreen.swap:
    verdict: later

- name: Book what failed on the host whose fault it was
  hotswap.bluegreen.verdict:
"""

RETURN = r"""
msg:
  description: What failed on this host.
  type: str
  returned: always
"""
