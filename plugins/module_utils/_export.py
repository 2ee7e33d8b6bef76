# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exporter: look at the service on this host and write the textfile of its metrics. It runs by itself, from cron or supervisor.

``python3 export.pyz DIRECTORY`` once, ``python3 export.pyz DIRECTORY --every 60`` for ever. ``DIRECTORY/wish.json`` is
the host's wish as it was when :mod:`._monitoring` installed this.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import List, Optional, Sequence

from . import _account, _declare, _exporter, _files, _history, _hold, _info, _lock, _metrics, _nginx
from ._model import Refusal, Wish, load


def main(arguments: Sequence[str]) -> int:
    """The exit status. What goes wrong is a line on standard error: cron mails it, supervisor logs it."""
    folder, every = arguments[0], float(arguments[2]) if len(arguments) == 3 else 0.0
    while True:
        began = time.monotonic()
        try:
            export(folder)
        except Refusal as error:
            sys.stderr.write(f"{error}\n")
            if not every:
                return 1
        if not every:
            return 0
        time.sleep(max(1.0, every - (time.monotonic() - began)))


def export(folder: str) -> None:
    """Look and write. One at a time: what is written last was seen last, and nothing once it was taken away."""
    with _files.locked(f"{folder}/.lock"):
        text = _files.read(f"{folder}/{_exporter.WISH}")
        if text is None:
            raise Refusal(f"{folder}/{_exporter.WISH} is not there: run hotswap.bluegreen.monitoring again.")
        wish = load(Wish, json.loads(text))
        _files.write(_exporter.textfile(wish), _metrics.text(wish, known(wish), time.time()), 0o644)


def known(wish: Wish) -> _metrics.Known:
    """All that the host can tell; what it cannot is counted."""
    problems: List[str] = []
    return _metrics.Known(
        seen=_info.look(wish, keeps_lease=False),
        lines=_history.read(wish.root) if wish.members else (),
        swaps=_account.read(wish),
        lock_since=_lock_since(wish, problems),
        switched=_switched(wish),
        reloads=_declare.reloads(wish) if wish.pool else None,
        problems=len(problems),
    )


def _lock_since(wish: Wish, problems: List[str]) -> Optional[float]:
    """None where no lock was ever kept: it is kept on the fleet's first balancer only."""
    folder = _hold.lease_folder(wish)
    try:
        lease = _lock.holder(folder)
    except Refusal as error:
        problems.append(str(error))
        return None
    if lease is None:
        return 0.0 if _lock.is_kept(folder) else None
    return lease.since


def _switched(wish: Wish) -> float:
    try:
        return os.lstat(_nginx.active_link(wish)).st_mtime if wish.pool else 0.0
    except OSError:
        return 0.0
