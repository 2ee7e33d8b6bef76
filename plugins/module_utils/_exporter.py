# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a host's exporter of metrics is, what it needs, and how a run tells it that there is something new."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import List

from . import _fence, _hold
from ._model import Refusal, Wish

PROGRAM, WISH = "export.pyz", "wish.json"


def folder(wish: Wish) -> str:
    """The exporter's directory: in the service's root, on a host that is only a balancer beside the link."""
    return f"{_hold.fence_folder(wish)}/.monitoring"


def textfile(wish: Wish) -> str:
    """What node_exporter reads."""
    return f"{wish.monitoring.textfile_dir}/bluegreen_{wish.service}.prom"


def command(wish: Wish) -> List[str]:
    """The exporter in words: nothing of this process's environment, and none of the host's own packages."""
    return [sys.executable or "/usr/bin/python3", "-I", "-S", f"{folder(wish)}/{PROGRAM}", folder(wish)]


def refresh(wish: Wish) -> None:
    """Let the exporter, where there is one, write at once, in its own time: nobody waits for it, and it holds no lock of ours."""
    words = command(wish)
    if not os.path.exists(words[-2]):
        return
    with contextlib.suppress(OSError):
        subprocess.Popen(words, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


def unfit(wish: Wish) -> List[str]:
    """What on this host stands against the exporter, a sentence each."""
    if wish.monitoring.state == "absent":
        return []
    found = []
    directory = wish.monitoring.textfile_dir
    if not os.path.isdir(directory):
        found.append(
            f"bluegreen_monitoring_textfile_dir is {directory}, which is not there on this host. Install node_exporter (prometheus-node-exporter), or name "
            "the directory of its --collector.textfile.directory."
        )
    elif not os.access(directory, os.W_OK | os.X_OK):
        found.append(f"bluegreen_monitoring_textfile_dir is {directory}, where this user may not write. Use become.")
    if by_cron(wish) and not os.path.isdir(wish.cron_dir):
        found.append(f"bluegreen_monitoring_by is cron, and bluegreen_cron_dir, {wish.cron_dir}, is not there. Install cron, or set it to supervisor.")
    return found


def missing(wish: Wish) -> List[str]:
    """What hotswap.bluegreen.install would bring, a sentence each."""
    absent = _fence.absent(_hold.fence_folder(wish))
    return [absent] if absent and wish.monitoring.state == "present" else []


def by_cron(wish: Wish) -> bool:
    """Whether cron starts it: on a host that is only a balancer in any case, because it needs no supervisor."""
    return wish.monitoring.by == "cron" or not wish.members


def must_fit(wish: Wish) -> None:
    """:class:`Refusal` with all that stands against the exporter."""
    found = [*unfit(wish), *missing(wish)]
    if found:
        raise Refusal("\n".join(found))
