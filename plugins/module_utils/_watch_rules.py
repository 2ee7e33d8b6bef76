# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role watch is told, read and checked: every broken rule is a sentence, and all are told at once."""

from __future__ import annotations

import pwd
import re
import shlex
import signal
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Tuple

from ._model import Refusal
from ._parts import Supervisor
from ._watch import _checks, _ignore
from ._watch._settings import RESTART, Settings

ABSENT, PRODUCTION = "absent", "production"
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(:[A-Za-z0-9_.-]+)?\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
_HOME = re.compile(r"[A-Za-z0-9/._-]+\Z")  # it stands in supervisor's file
_VERSION = re.compile(r"[0-9]+(\.[0-9]+)+\Z")
SIGNALS = {"workerman": "USR1", "gunicorn": "HUP", "puma": "USR1"}  # of those runtimes that then load all of the code anew
_NEVER = ("KILL", "STOP", "CONT", "CHLD")  # no program reloads by these
_TIMES = {
    "debounce": (0.02, 60),
    "debounce_max": (0.02, 600),
    "check_timeout": (1, 3600),
    "build_timeout": (1, 86400),
    "start_timeout": (1, 3600),
    "poll": (0, 3600),
}


@dataclass(frozen=True)
class Wanted:
    """What is to be there: the settings of the watch, its ``name`` at supervisor and its own directory ``home``."""

    settings: Settings
    name: str
    home: str
    python: str
    version: str
    pip: Tuple[str, ...]


def read(told: Mapping[str, Any]) -> Wanted:
    """The role's variables, by name without ``watch_``, as the module gives them. :class:`Refusal` tells of all that is wrong."""
    wrong: List[str] = []
    name = told["name"] or f"{told['program'].replace(':', '-')}-watch"
    home = told["home"] or f"/opt/{name}"
    absent = told["state"] == ABSENT
    if not absent and told["environment_kind"] == PRODUCTION:
        wrong.append(
            "bluegreen_environment_kind is production (which it is where nobody says otherwise): a watch loads whatever is saved, so it is for hosts of "
            "developers. Set it to development or staging for this host, or leave the watch away."
        )
    if not _PROGRAM.match(told["program"]):
        wrong.append(f"watch_program is {told['program']!r}; the name of a program of supervisor's is expected, such as shop, or web:shop for one of a group.")
    if not _NAME.match(name):
        wrong.append(f"watch_name is {name!r}; letters, digits and . _ - are expected.")
    if not _is_place(home) or not _HOME.match(home):
        wrong.append(f"watch_home is {home!r}; the absolute path of a directory of its own is expected, of letters, digits and . _ -, such as /opt/shop-watch.")
    settings = _settings(told, [] if absent else wrong)
    if not _VERSION.match(told["watchfiles_version"]):
        wrong.append(f"watch_watchfiles_version is {told['watchfiles_version']!r}; a version is expected, such as 1.3.0.")
    if wrong:
        raise Refusal("\n".join(wrong))
    return Wanted(settings, name, home, told["python"], told["watchfiles_version"], tuple(told["pip_arguments"]))


def _settings(told: Mapping[str, Any], wrong: List[str]) -> Settings:
    paths = tuple(path.rstrip("/") for path in told["paths"])
    if not paths:
        wrong.append("watch_paths is empty; the directories, or files, of the code are expected, such as [/home/dev/shop].")
    wrong += [f"watch_paths has {path!r}; absolute paths without . and .. are expected, and not /." for path in paths if not _is_place(path)]
    for name, (low, high) in _TIMES.items():
        if not low <= told[name] <= high:
            wrong.append(f"watch_{name} is {told[name]:g}; seconds from {low:g} to {high:g} are expected.")
    if told["debounce_max"] < told["debounce"]:
        wrong.append(f"watch_debounce_max is {told['debounce_max']:g}; not less than watch_debounce ({told['debounce']:g}) is expected.")
    if told["health_url"] and not re.match(r"https?://[^\s/]+", told["health_url"]):
        wrong.append(f"watch_health_url is {told['health_url']!r}; an http:// or https:// address is expected, such as http://127.0.0.1:9501/health.")
    if told["user"] and not _is_user(told["user"]):
        wrong.append(f"watch_user is {told['user']!r}, who is not on this host. Without it the watch runs as the program's own user.")
    for pattern in told["ignore"]:
        try:
            _ignore.Ignore((pattern,))
        except re.error as error:
            wrong.append(f"watch_ignore has {pattern!r}, which cannot be understood: {error}. A pattern as in .gitignore is expected.")
    where: Dict[str, str] = told["supervisor"]
    return Settings(
        program=told["program"],
        paths=paths,
        ignore=tuple(told["ignore"]),
        checks=_read_checks(told["checks"], wrong),
        build=_command("watch_build", told["build"], wrong),
        reload=_reload(told["reload"] or SIGNALS.get(told["runtime"], RESTART), wrong),
        health_url=told["health_url"],
        user=told["user"],
        environment={str(name): str(value) for name, value in told["environment"].items()},
        supervisor=Supervisor(**where),
        **{name: float(told[name]) for name in _TIMES},
    )


def _is_place(path: str) -> bool:
    return bool(re.match(r"(/(?!\.{0,2}(/|\Z))[^/\0\n]+)+\Z", path))


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _reload(value: str, wrong: List[str]) -> str:
    name = value.upper()
    name = name[3:] if name.startswith("SIG") else name
    if value == RESTART or (name not in _NEVER and f"SIG{name}" in signal.Signals.__members__):
        return value if value == RESTART else name
    wrong.append(f"watch_reload is {value!r}; restart, or the signal by which the program reloads is expected, such as USR1 or HUP.")
    return RESTART


def _read_checks(value: Any, wrong: List[str]) -> Tuple[_checks.Check, ...]:
    """The user's list in place of ours; an empty one means no check."""
    if value is None:
        return _checks.DEFAULT
    found = []
    for one in value:
        match, command = one["match"], _command("watch_checks: command", one["command"], wrong)
        matches = (match,) if isinstance(match, str) else tuple(map(str, match)) if isinstance(match, list) else ()
        if not all(matches) or not matches:
            wrong.append(f"watch_checks has the match {match!r}; a pattern of file names is expected, or a list of them, such as '*.php'.")
        if command and not any(_checks.FILE in word or word == _checks.FILES for word in command):
            wrong.append(
                f"watch_checks has the command {' '.join(command)!r} without a file; {{file}} is expected in it, or the word {{files}} for all at once."
            )
        found.append(_checks.Check(matches, command))
    return tuple(found)


def _command(name: str, value: Any, wrong: List[str]) -> Tuple[str, ...]:
    """A list of words, or one string that is taken apart as sh would, without a shell."""
    if isinstance(value, list) and all(isinstance(word, (str, int, float)) for word in value):
        return tuple(map(str, value))
    try:
        if isinstance(value, str):
            return tuple(shlex.split(value))
        if value is None:
            return ()
        wrong.append(f"{name} is {value!r}; a list of words is expected, or a string.")
    except ValueError as error:
        wrong.append(f"{name} is {value!r}, which cannot be taken apart: {error}.")
    return ()
