# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service's entries of cron, in a file of their own. A line holds nothing of a release: the launcher follows the live one."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Dict, List

from . import _files
from ._model import Refusal, Wish
from ._parts import WORKERS, Job

_ENTRY = re.compile(r"\S.* (cron:[a-z0-9]+)\Z")
_DAEMONS = frozenset({"cron", "crond", "cronie", "fcron", "bcron-sched"})


def path(wish: Wish) -> str:
    """cron reads no file with a dot in its name."""
    return f"{wish.cron_dir}/bluegreen-{wish.service}"


def _header(wish: Wish) -> str:
    return f"# Managed by hotswap.bluegreen: jobs of {wish.service}.\n"


def line(wish: Wish, job: Job) -> str:
    """The entry; that it runs once at a time is in the release's start. A per cent sign is a new line for cron."""
    command = f"{wish.root}/{WORKERS}/launcher {job.id}".replace("%", "\\%")
    return f"{job.schedule} {wish.program.user or 'root'} {command}"


def lines(wish: Wish) -> Dict[str, str]:
    """The lines that are there, by job. :class:`Refusal` for a file that is not ours."""
    text = _files.read(path(wish))
    if text is None:
        return {}
    if not text.startswith(_header(wish)):
        raise Refusal(f"{path(wish)} was not written for {wish.service}: take it away, or set bluegreen_cron_dir.")
    return {match[1]: row for row in text.splitlines() for match in [_ENTRY.match(row)] if match and not row.startswith("#")}


def put(wish: Wish, job: Job) -> bool:
    """Write the job's line; False if it was there."""
    return _write(wish, {**lines(wish), job.id: line(wish, job)})


def take(wish: Wish, job: str) -> bool:
    """Take the job's line away; False if there was none. cron looks for changes each minute, before it starts anything."""
    return _write(wish, {name: row for name, row in lines(wish).items() if name != job})


def _write(wish: Wish, rows: Dict[str, str]) -> bool:
    if not rows:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path(wish))
            return True
        return False
    setting = "SHELL=/bin/sh\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    text = _header(wish) + setting + "".join(f"{rows[name]}\n" for name in sorted(rows))
    return _files.write(path(wish), text, 0o644, *((0, 0) if os.geteuid() == 0 else (None, None)))


def unfit(wish: Wish) -> List[str]:
    """What on this host stands against entries of cron, a sentence each."""
    if not os.path.isdir(wish.cron_dir):
        return [f"bluegreen_cron: {wish.cron_dir} is not there. Install cron, or set bluegreen_cron_dir."]
    found = [] if _daemon_runs() else ["bluegreen_cron: no cron daemon runs on this host, so nothing would start the entries. Install cron and start it."]
    try:
        lines(wish)
    except Refusal as error:
        found.append(str(error))
    return found


def _daemon_runs() -> bool:
    return any((_files.read(f"/proc/{pid}/comm") or "").strip() in _DAEMONS for pid in os.listdir("/proc") if pid.isdigit())
