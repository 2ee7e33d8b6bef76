# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Install the watch of a program on a host, or take it away: a directory of its own, and one program of supervisor's."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
import shutil
import subprocess
import time
from dataclasses import replace
from typing import Any, Dict, List, Tuple

from . import _files, _pack, _supervisor
from ._install import Installed
from ._model import Refusal
from ._watch import _main, _settings
from ._watch_rules import Wanted

PROGRAM, SETTINGS, LOG = "watch.pyz", "watch.json", "watch.log"
WATCHING = " watching "  # its line when it has begun
_PATIENCE = 60.0  # seconds until then: it looks at every file first
_FIRST_MODULE = "_watch." + _main.__name__.rpartition(".")[2]  # imported, so that Ansible sends it and what it imports
_FIRST = "; Managed by hotswap.bluegreen: watch of {}.\n"
_MINUTES = 600  # seconds for pip


def program_path(wanted: Wanted) -> str:
    return f"{wanted.settings.supervisor.program_dir}/{wanted.name}.conf"


def program_text(wanted: Wanted) -> str:
    """It is root's where supervisord is: it gives up its rights itself, but for a hand on the one program."""
    home = wanted.home.replace("%", "%%")
    return _FIRST.format(wanted.settings.program) + (
        f"[program:{wanted.name}]\ncommand='{home}/venv/bin/python' -I -B '{home}/{PROGRAM}' '{home}/{SETTINGS}'\ndirectory=/\nautostart=true\n"
        f"autorestart=true\nstartsecs=1\nstopwaitsecs=10\nkillasgroup=true\nredirect_stderr=true\nstdout_logfile={home}/{LOG}\n"
        "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=1\n"
    )


def install(wanted: Wanted, state: str, dry: bool = False) -> Installed:
    """Bring the watch to what is wished, ``present`` or ``absent``. Nothing that is not of ours is touched."""
    _must_be_ours(wanted)
    if state == "absent":
        return _absent(wanted, dry)
    client = _supervisor.connect(wanted.settings.supervisor)
    wanted = replace(wanted, settings=replace(wanted.settings, user=wanted.settings.user or _user(client, wanted.settings.program)))
    content, diffs = _pack.pack(_FIRST_MODULE), _differences(wanted)
    if not _files.holds(f"{wanted.home}/{PROGRAM}", content):
        diffs.append(_diff(f"{wanted.home}/{PROGRAM}", "", f"the watch, {len(content)} bytes\n"))
    runs = client.process(wanted.name).state in ("RUNNING", "STARTING")
    if not diffs and not runs:
        diffs.append(_diff(wanted.name, f"{client.process(wanted.name).state}\n", "RUNNING\n"))
    if diffs and not dry:
        _put(wanted, client, content)
    return Installed(bool(diffs), tuple(diffs))


def _differences(wanted: Wanted) -> List[Dict[str, str]]:
    diffs = []
    if not _has_watchfiles(wanted):
        diffs.append(_diff(f"{wanted.home}/venv", "", f"a virtual environment with watchfiles {wanted.version}\n"))
    for path, text in ((f"{wanted.home}/{SETTINGS}", _settings.dumps(wanted.settings)), (program_path(wanted), program_text(wanted))):
        before = _files.read(path)
        if before != text:  # the environment in the settings may be secret
            secret = path.endswith(SETTINGS)
            diffs.append(_diff(path, "the watch's settings\n" if secret and before else before or "", "the watch's new settings\n" if secret else text))
    return diffs


def _diff(path: str, before: str, after: str) -> Dict[str, str]:
    return {"before_header": path, "after_header": path, "before": before, "after": after}


def _put(wanted: Wanted, client: _supervisor.Client, content: bytes) -> None:
    try:
        os.makedirs(wanted.home, mode=0o755, exist_ok=True)
    except OSError as error:
        raise Refusal(f"cannot make {wanted.home}: {error.strerror}. Use become, or set watch_home.") from None
    _supervisor.forget(client, wanted.name)
    if not os.path.exists(f"{wanted.home}/{SETTINGS}"):  # says whose directory it is, whatever becomes of the rest
        _files.write(f"{wanted.home}/{SETTINGS}", "{}\n", 0o600)
    if not _has_watchfiles(wanted):
        _make_environment(wanted)
    draft = f"{wanted.home}/.{PROGRAM}.new"
    with open(draft, "wb") as file:
        file.write(content)
    os.replace(draft, f"{wanted.home}/{PROGRAM}")
    _files.write(f"{wanted.home}/{SETTINGS}", _settings.dumps(wanted.settings), 0o600)
    _files.write(program_path(wanted), program_text(wanted), 0o644)
    _begin(client, wanted)


def _absent(wanted: Wanted, dry: bool) -> Installed:
    there = [path for path in (program_path(wanted), wanted.home) if os.path.lexists(path)]
    if there and not dry:
        if os.path.exists(program_path(wanted)):
            client = _supervisor.connect(wanted.settings.supervisor)
            _supervisor.forget(client, wanted.name)
            os.unlink(program_path(wanted))
            client.reread()
        if os.path.isdir(wanted.home):
            shutil.rmtree(wanted.home)
    return Installed(bool(there), tuple(_diff(path, "there\n", "") for path in there))


def _must_be_ours(wanted: Wanted) -> None:
    """:class:`Refusal` where somebody else's program, or files, have the name or the place."""
    path = program_path(wanted)
    text = _files.read(path)
    if text is not None and not text.startswith(_FIRST.format(wanted.settings.program)):
        raise Refusal(f"{path} is not the watch of {wanted.settings.program}: it does not begin with our line. Set watch_name to another name.")
    strange = _strange(wanted.home)
    if strange:
        raise Refusal(f"{wanted.home} was not made by this role: it has {', '.join(strange[:3])}. Set watch_home to a directory of its own.")
    if text is None and _known(wanted):
        raise Refusal(f"supervisor knows a program {wanted.name} already, which is not ours ({path} is not there). Set watch_name to another name.")


def _strange(home: str) -> List[str]:
    """What in the directory is not of ours."""
    try:
        names = sorted(os.listdir(home))
    except FileNotFoundError:
        return []
    except OSError as error:
        return [str(error.strerror)]
    ours = [name for name in names if name in ("venv", PROGRAM, f".{PROGRAM}.new", SETTINGS) or re.match(rf"{re.escape(LOG)}(\.\d+)?\Z", name)]
    return names if SETTINGS not in ours else [name for name in names if name not in ours]


def _known(wanted: Wanted) -> bool:
    where = wanted.settings.supervisor
    return os.path.exists(where.config) and _supervisor.connect(where).process(wanted.name).state != "ABSENT"


def _user(client: _supervisor.Client, program: str) -> str:
    """Whom the program runs as: supervisor's word, which is ``none`` for supervisord's own user."""
    if client.process(program).state == "ABSENT":
        raise Refusal(f"supervisor does not know the program {program}, which watch_program names. Install it first, or mend the name (supervisorctl status).")
    told = client.groups().get(program.rpartition(":")[2], {}).get("uid")
    with contextlib.suppress(OSError, KeyError):
        return pwd.getpwuid(told if isinstance(told, int) else os.stat(f"/proc/{client.pid()}").st_uid).pw_name
    return ""


def _begin(client: _supervisor.Client, wanted: Wanted) -> None:
    """Start it, and wait until it says that it watches: what is wrong with it is said now."""
    log = f"{wanted.home}/{LOG}"
    before = os.path.getsize(log) if os.path.exists(log) else 0
    client.reread()
    client.add(wanted.name)
    first, deadline = client.process(wanted.name), time.monotonic() + _PATIENCE
    while True:
        now = client.process(wanted.name)
        told = _since(log, before)
        if now.state == "RUNNING" and WATCHING in told:
            return
        if now.state not in ("STARTING", "RUNNING") or now.pid != first.pid or time.monotonic() > deadline:
            said = " | ".join(told.splitlines()[-3:])
            raise Refusal(f"supervisor: {wanted.name} does not come up: {now.state}. Its log ({log}) ends with: {said or 'nothing'}")
        time.sleep(0.05)


def _since(path: str, offset: int) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            file.seek(offset)
            return file.read()
    except OSError:
        return ""


def _has_watchfiles(wanted: Wanted) -> bool:
    there = glob.glob(f"{glob.escape(wanted.home)}/venv/lib/python3*/site-packages/watchfiles-{wanted.version}.dist-info")
    return bool(there) and os.path.exists(f"{wanted.home}/venv/bin/python")


def _make_environment(wanted: Wanted) -> None:
    """Wheels only: no code of a package is run here while it is installed."""
    venv = f"{wanted.home}/venv"
    shutil.rmtree(venv, ignore_errors=True)
    try:
        _run((wanted.python, "-m", "venv", venv), "On Debian and Ubuntu: apt install python3-venv. Another Python is named by watch_python.")
        quiet: Tuple[str, ...] = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-cache-dir", "--only-binary", ":all:")
        hint = "Where PyPI is not reached, watch_pip_arguments names a mirror or a directory of wheels, as in [--no-index, --find-links, /srv/wheels]."
        _run((f"{venv}/bin/python", "-m", "pip", "install", *quiet, *wanted.pip, f"watchfiles=={wanted.version}"), hint)
    except BaseException:
        shutil.rmtree(venv, ignore_errors=True)
        raise


def _run(command: Tuple[str, ...], hint: str) -> None:
    shown = " ".join(command[:4])
    try:
        done: Any = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=_MINUTES, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal(f"{shown} cannot be run: {error}. {hint}") from None
    if done.returncode:
        lines = [line.strip() for line in done.stdout.decode("utf-8", "replace").splitlines() if line.strip()]
        raise Refusal(f"{shown} fails: {' | '.join(lines[-3:]) or 'without a word'}. {hint}")
