#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: notify
short_description: Tell people that a release begins, and how it ended
version_added: 0.1.0
description:
  - Sends a message to each receiver of C(bluegreen_notify), with who, what, how long, why it failed and where the report is.
  - What cannot be sent after three attempts is a warning; it never fails a release. Neither URL, secret nor header is in any output.
  - A run with nothing to do tells nothing, and neither does check mode, nor a run that did not get the service's lock.
  - It is an action for all hosts of the play and runs on the controller, where the Python library C(requests) must be.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  at:
    description: C(start) when the lock is taken, C(end) when all is done, also after a failure.
    type: str
    choices: [start, end]
    required: true
attributes:
  check_mode:
    description: Sends nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Release under the service's lock
  block:
    - name: Take the lock
      hotswap.bluegreen.lock:

    - name: Tell that it begins
      hotswap.bluegreen.notify:
        at: start

    - name: Stage the release
      hotswap.bluegreen.stage:

    - name: Swap the release in
      hotswap.bluegreen.swap:
        verdict: later
  always:
    - name: Tell how it ended
      hotswap.bluegreen.notify:
        at: end

    - name: Release the lock
      hotswap.bluegreen.lock:
        state: released
"""

RETURN = r"""
msg:
  description: How many messages were sent.
  type: str
  returned: always
"""
