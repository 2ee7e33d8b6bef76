# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start, ask and stop the process of a probe. It has a session and a directory of its own, which is its user's alone.

The process holds the lock of its directory for as long as it lives: that, and no pid, says whether it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, Iterable, Iterator, Optional

from ansible.module_utils.basic import missing_required_lib

from ._model import Refusal
from ._probe import _kinds

LIBRARIES = {"http": ("python3-requests", "requests"), "websocket": ("python3-websocket", "websocket-client")}  # names for apt and for pip
_BEGIN = 20.0  # seconds that a slow machine may take until the first requests
_END = 5.0  # seconds that may take longer than a request may
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_START = "from bluegreen_probe import _main\n\n_main.main()\n"
_TAIL = 2000  # bytes of what a process said that ended at once


def place(name: str) -> str:
    """The directory of the probe of this name, which is not made. :class:`Refusal` for a name that cannot be one."""
    if not _ID.match(name):
        raise Refusal(f"the probe's id is {name!r}; a letter or digit and up to 63 letters, digits and . _ - are expected.")
    return f"{tempfile.gettempdir()}/bluegreen-probe-{os.getuid()}/{name}"


def refuse_missing(types: Iterable[str]) -> None:
    """:class:`Refusal` for the Python libraries that kinds of these types need and this Python lacks."""
    from ._probe import _http, _socket

    there, needed = {"http": _http.HAS_LIBRARY, "websocket": _socket.HAS_LIBRARY}, set(types)
    gone = [f"{pip} (apt: {apt}, pip: {pip})" for kind, (apt, pip) in LIBRARIES.items() if kind in needed and not there[kind]]
    if gone:
        raise Refusal(missing_required_lib(" and ".join(gone), reason="for the probe"))


def start(folder: str, settings: str) -> Dict[str, Any]:
    """Start a probe with the settings that :func:`_kinds.dumps` wrote; what it found when it asked each kind once.

    ``down`` is what was wrong by the kind's name, ``begins`` whether it began all the same. :class:`Refusal` if one runs there already,
    if a library is missing, or if it does not begin.
    """
    told = _kinds.loads(settings)
    refuse_missing(kind.type for kind in told.kinds)
    longest = max(kind.timeout for kind in told.kinds)
    lock = _lock(folder)
    if lock is None:
        raise Refusal(f"a probe runs already with the id {os.path.basename(folder)}: stop it first, or choose another id.")
    try:
        _clear(folder)
        process = _run(folder, lock, settings, longest)
    finally:
        os.close(lock)
    end = time.monotonic() + longest + _BEGIN
    while True:
        ended = process.poll() is not None
        first = _read(f"{folder}/first.json")
        if first:
            if not first["begins"]:
                process.wait()
                _forget(folder)
            return first
        if ended or time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
            said = _said(folder)
            _forget(folder)
            raise Refusal(f"the probe's process {'ended' if ended else f'did not begin within {longest + _BEGIN:g} s'}: {said or 'without a word'}")
        time.sleep(0.02)


def look(folder: str) -> Dict[str, Any]:
    """``running``, and the ``result`` so far or the last one; {} where there was no probe."""
    running = is_running(folder)
    return {"running": running, "result": _result(folder, running)}


def stop(folder: str) -> Dict[str, Any]:
    """End the probe and forget it; as :func:`look`. What is under way ends with its answer or in its time."""
    end = 0.0
    while is_running(folder):
        about = _read(f"{folder}/pid.json")
        if about and time.monotonic() > end:
            with contextlib.suppress(ProcessLookupError):
                os.kill(about["pid"], signal.SIGKILL if end else signal.SIGTERM)
            end = time.monotonic() + about["longest"] + _END
        time.sleep(0.02)
    result = _result(folder, False)
    _forget(folder)
    return {"running": False, "result": result}


def kill(folder: str) -> None:
    """End the probe at once and forget it, with whatever it has under way."""
    while is_running(folder):
        if pid(folder):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid(folder), signal.SIGKILL)
        time.sleep(0.02)
    _forget(folder)


def is_running(folder: str) -> bool:
    """Whether the probe's process lives."""
    try:
        handle = os.open(f"{folder}/lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def pid(folder: str) -> int:
    """The probe's process, 0 without one."""
    return int(_read(f"{folder}/pid.json").get("pid", 0))


def _result(folder: str, running: bool) -> Dict[str, Any]:
    result = _read(f"{folder}/result.json")
    if result and not running and "ended_by" not in result:
        result["ended_by"] = "killed"  # what it counted in its last second is not known
    return result


def _lock(folder: str) -> Optional[int]:
    """The lock of the directory, which is made; None if a probe has it."""
    _own(os.path.dirname(folder))
    while True:
        _own(folder)
        try:
            handle = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:  # somebody has just forgotten it
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle).st_ino == os.stat(f"{folder}/lock").st_ino:
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except FileNotFoundError:
            pass
        os.close(handle)


def _own(folder: str) -> None:
    """Make the directory. :class:`Refusal` for one that somebody else has put there: its name can be guessed."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
        raise Refusal(f"{folder} is not a directory of this user's alone; remove it.")


def _run(folder: str, lock: int, settings: str, longest: float) -> subprocess.Popen[bytes]:
    """The process, with code of its own: what Ansible made of this module is gone when the module ends."""
    from ._probe import _answer, _clients, _http, _load, _main, _schedule, _socket, _tally

    os.makedirs(f"{folder}/code/bluegreen_probe", 0o700)
    for part in (_answer, _clients, _http, _kinds, _load, _main, _schedule, _socket, _tally):
        path = str(part.__file__)
        with open(f"{folder}/code/bluegreen_probe/{os.path.basename(path)}", "wb") as file:
            file.write(part.__loader__.get_data(path))  # type: ignore[union-attr]  # what was imported has a loader
    for name, text in (("bluegreen_probe/__init__.py", ""), ("__main__.py", _START)):
        with open(f"{folder}/code/{name}", "w", encoding="utf-8") as script:
            script.write(text)
    with open(f"{folder}/said", "wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-B", f"{folder}/code", folder],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
            pass_fds=(lock,),
        )
    with open(f"{folder}/pid.json", "w", encoding="utf-8") as file:
        json.dump({"pid": process.pid, "longest": longest}, file)
    if process.stdin is None:  # it is a pipe
        raise AssertionError
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(settings.encode())
        process.stdin.close()
    return process


def _clear(folder: str) -> None:
    """What an earlier probe left, but for the lock."""
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        elif entry.name != "lock":
            os.unlink(entry.path)


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from list(entries)


def _forget(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(folder))  # if it was the last one


def _read(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _said(folder: str) -> str:
    try:
        with open(f"{folder}/said", "rb") as file:
            return file.read()[-_TAIL:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
