#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: report
short_description: Make what happened in a run into report.json and report.html
version_added: 0.1.0
description:
  - While C(bluegreen_report_dir) is set, a run writes what happens into a journal, in a directory of its own on the controller. This
    task makes that into C(report.json) and one page, C(report.html), which needs nothing but itself, both beside the journal.
  - A report that cannot be made is a warning and fails no run. Without C(bluegreen_report_dir) there is nothing to do.
  - A run that was killed has a journal and no report. With O(path) it gets one.
  - It is an action and runs on the controller alone. It stands in an C(always) part, after everything that it shall tell of.
options:
  path:
    description:
      - The directory of a run below C(bluegreen_report_dir), or the C(journal.jsonl) in it. By default that of this run.
      - Here it fails where no report can be made.
    type: path
author:
  - The hotswap.bluegreen maintainers (@hotswap)
attributes:
  check_mode:
    description: A check has no journal, so there is nothing to do. With O(path) the files are written.
    support: partial
  diff_mode:
    description: Has no diff.
    support: none
"""

EXAMPLES = r"""
- name: Swap the release in
  block:
    - name: Take the lock, and begin the journal
      hotswap.bluegreen.lock:

    - name: Swap
      hotswap.bluegreen.swap:
        verdict: later
  always:
    - name: Write the report
      hotswap.bluegreen.report:

# ansible localhost -m hotswap.bluegreen.report -a path=/var/log/bluegreen/shop-20261121T140000Z-v2
- name: Write the report of a run that was killed
  hotswap.bluegreen.report:
    path: /var/log/bluegreen/shop-20261121T140000Z-v2
"""

RETURN = r"""
msg:
  description: What happened, in one sentence.
  type: str
  returned: when there is a report
outcome:
  description: One of C(released), C(rolled back), C(unchanged), C(taken back), C(failed), C(cut off).
  type: str
  returned: when there is a report
html:
  description: The page's path on the controller.
  type: str
  returned: when there is a report
json:
  description: The path of the same as data.
  type: str
  returned: when there is a report
"""
