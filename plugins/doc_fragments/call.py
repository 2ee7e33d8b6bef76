# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules have: what an action tells a host with each call, and when a failure counts."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of C(_module.CALL), C(_module.WISH) as a fact, C(_module.LEASE) and C(_module.VERDICT)."""

    DOCUMENTATION = r"""
options:
  wish:
    description: What this host shall run. The action fills it in.
    type: dict
  token:
    description: The run's fencing token. The action fills it in.
    type: int
    default: 0
"""

    FACT = r"""
options:
  wish:
    description: What this host shall run, as M(hotswap.bluegreen.preflight) sets it as fact C(bluegreen_wish).
    type: dict
    required: true
"""

    LEASE = r"""
options:
  keeps_lease:
    description: Whether the run's lease is kept on this host. The action fills it in.
    type: bool
    default: false
"""

    VERDICT = r"""
options:
  verdict:
    description:
      - V(now) fails this task, which Ansible books on the play's first host. V(later) leaves that to M(hotswap.bluegreen.verdict),
        which books each failure on its own host; the tasks in between do nothing then.
    type: str
    choices: [now, later]
    default: now
"""
