# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the exporter of metrics on a host, or take it away: one file of Python, the host's wish, and what starts it.

The file is made of the very modules that the collection's other calls use: their sources, as this process has them.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shlex
import shutil
import subprocess
import time
from dataclasses import replace
from typing import Callable, List

from . import _export, _exporter, _files, _pack, _supervisor
from ._install import Installed
from ._model import Refusal, Wish, dump

_EVERY = 60  # seconds; cron knows nothing shorter


def program() -> bytes:
    """The exporter as one file for Python; the same modules give the same bytes."""
    return _pack.pack(_export.__name__.rpartition(".")[2])


def wish_text(wish: Wish) -> str:
    """The host's wish as the exporter reads it: as it is whatever the release. It may name headers of the health check, so it is root's."""
    lasting = replace(wish, release="", rollback=False, hooks=(), lifting=())
    return json.dumps(dump(lasting), sort_keys=True) + "\n"


def cron_path(wish: Wish) -> str:
    """A name that no service's own file has: services have no underscore."""
    return f"{wish.cron_dir}/bluegreen_metrics-{wish.service}"


def cron_text(wish: Wish) -> str:
    user = "root" if os.geteuid() == 0 else getpass.getuser()
    words = " ".join(map(shlex.quote, _exporter.command(wish))).replace("%", "\\%")
    return f"# Managed by hotswap.bluegreen: metrics of {wish.service}.\n* * * * * {user} {words}\n"


def program_name(wish: Wish) -> str:
    return f"bluegreen_metrics-{wish.service}"


def program_path(wish: Wish) -> str:
    return f"{wish.supervisor.program_dir}/{program_name(wish)}.conf"


def program_text(wish: Wish) -> str:
    words = " ".join(map(shlex.quote, [*_exporter.command(wish), "--every", str(_EVERY)])).replace("%", "%%")
    return (
        f"; Managed by hotswap.bluegreen: metrics of {wish.service}.\n[program:{program_name(wish)}]\ncommand={words}\ndirectory=/\nautostart=true\n"
        f"autorestart=true\nstartsecs=0\nstdout_logfile=NONE\nredirect_stderr=false\nstderr_logfile={_exporter.folder(wish)}/error.log\n"
        "stderr_logfile_maxbytes=1MB\nstderr_logfile_backups=0\n"
    )


def install(wish: Wish, dry: bool = False, clock: Callable[[], float] = time.monotonic) -> Installed:
    """Bring the host's exporter to what is wished, present or absent; the textfile is there when this returns."""
    if not dry:  # a check before the first installation can say what will be there
        _exporter.must_fit(wish)
    return _absent(wish, dry, clock) if wish.monitoring.state == "absent" else _present(wish, dry, clock)


def _present(wish: Wish, dry: bool, clock: Callable[[], float]) -> Installed:
    folder, content = _exporter.folder(wish), program()
    by_cron = _exporter.by_cron(wish)
    diffs = []
    if not os.path.isdir(folder):
        diffs.append({"before_header": folder, "after_header": folder, "before": "", "after": "directory\n"})
    if not _files.holds(f"{folder}/{_exporter.PROGRAM}", content):
        diffs.append({"after_header": f"{folder}/{_exporter.PROGRAM}", "before": "", "after": f"the exporter, {len(content)} bytes\n"})
    path, text = (cron_path(wish), cron_text(wish)) if by_cron else (program_path(wish), program_text(wish))
    if _files.read(path) != text:
        diffs.append({"before_header": path, "after_header": path, "before": _files.read(path) or "", "after": text})
    if _files.read(f"{folder}/{_exporter.WISH}") != wish_text(wish):
        diffs.append({"after_header": f"{folder}/{_exporter.WISH}", "before": "", "after": "this host's wish\n"})
    stale = _other_textfiles(wish)
    diffs += [{"before_header": name, "after_header": name, "before": "metrics\n", "after": ""} for name in stale]
    other = program_path(wish) if by_cron else cron_path(wish)
    if os.path.exists(other):
        diffs.append({"before_header": other, "after_header": other, "before": _files.read(other) or "", "after": ""})
    if not diffs or dry:
        return Installed(bool(diffs), tuple(diffs))
    _take_away_starter(wish, cron=not by_cron, clock=clock)
    for name in stale:
        _remove(name)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    _put_program(folder, content)
    _files.write(f"{folder}/{_exporter.WISH}", wish_text(wish), 0o600)
    _first(wish)
    if by_cron:
        _files.write(path, text, 0o644)
    else:
        _supervisor.forget(_supervisor.connect(wish.supervisor), program_name(wish), clock)
        _files.write(path, text, 0o644)
        client = _supervisor.connect(wish.supervisor)
        client.reread()
        client.add(program_name(wish))
    return Installed(True, tuple(diffs))


def _absent(wish: Wish, dry: bool, clock: Callable[[], float]) -> Installed:
    kept = (cron_path(wish), program_path(wish), _exporter.folder(wish), *_other_textfiles(wish), _exporter.textfile(wish))
    there = [path for path in kept if os.path.lexists(path)]
    if not dry:
        for cron in (True, False):
            _take_away_starter(wish, cron, clock)
        if os.path.isdir(_exporter.folder(wish)):
            with _files.locked(f"{_exporter.folder(wish)}/.lock"):  # one that is at work ends first: what it writes goes, too
                shutil.rmtree(_exporter.folder(wish))
        for path in there:
            if path != _exporter.folder(wish):
                _remove(path)
    return Installed(bool(there), tuple({"before_header": path, "after_header": path, "before": "there\n", "after": ""} for path in there))


def _other_textfiles(wish: Wish) -> List[str]:
    """The textfile where an earlier installation here was told to write it, if that is another one."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        before = json.loads(_files.read(f"{_exporter.folder(wish)}/{_exporter.WISH}") or "{}")
        path = _exporter.textfile(replace(wish, monitoring=replace(wish.monitoring, textfile_dir=before["monitoring"]["textfile_dir"])))
        return [path] if path != _exporter.textfile(wish) and os.path.lexists(path) else []
    return []


def _take_away_starter(wish: Wish, cron: bool, clock: Callable[[], float]) -> None:
    if cron:
        _remove(cron_path(wish))
    elif os.path.exists(program_path(wish)):
        _supervisor.forget(_supervisor.connect(wish.supervisor), program_name(wish), clock)
        _remove(program_path(wish))
        _supervisor.connect(wish.supervisor).reread()


def _first(wish: Wish) -> None:
    """Run it once as cron will: what is wrong with it is said now, and the textfile is there."""
    try:
        done = subprocess.run(_exporter.command(wish), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal(f"the exporter of metrics cannot be run: {error}") from None
    if done.returncode:
        raise Refusal(f"the exporter of metrics fails: {(done.stderr.strip().splitlines() or ['exit status ' + str(done.returncode)])[-1]}")


def _put_program(folder: str, content: bytes) -> None:
    """In one rename: the one of before may be about to start."""
    draft = f"{folder}/.{_exporter.PROGRAM}.new"
    with open(draft, "wb") as file:
        file.write(content)
    os.replace(draft, f"{folder}/{_exporter.PROGRAM}")


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
