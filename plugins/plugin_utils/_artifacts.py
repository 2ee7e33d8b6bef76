# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run hands on: custom stats, as ``ansible.builtin.set_stats`` sets them. In AWX they are the job's artifacts.

AWX makes them extra vars of the jobs that come after in a workflow. So each name is either no variable of ours, which is
then left alone, or one that means there what it means here: ``bluegreen_release``, which a rollback does not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REFUSED = "refused"  # nothing was begun: another run has the lock, or the hosts could not be told
CHECKED = "checked"


def verdict(begun: bool, reached: bool, failed: bool, changed: bool, way: str, check: bool = False) -> str:
    """How a run ended, in one word that a condition can compare.

    ``begun``: it had the lock. ``reached``: its swap came to an end. ``way``: release or rollback.
    """
    if check:
        return CHECKED
    if not begun:
        return REFUSED
    if failed or not reached:
        return "failed"
    if not changed:
        return "unchanged"
    return "rolled_back" if way == "rollback" else "released"


def stats(word: str, release: str, previous: str, report: str) -> dict[str, Any]:
    """The part of an action's result that Ansible takes for custom stats of the whole run; what is not known is left out."""
    known: Mapping[str, str] = {
        "bluegreen_verdict": word,
        "bluegreen_release": release,
        "bluegreen_previous_release": previous,
        "bluegreen_report": report,
    }
    return {"data": {name: value for name, value in known.items() if value}, "per_host": False, "aggregate": False}
