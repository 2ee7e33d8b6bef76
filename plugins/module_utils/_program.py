# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What supervisor runs for a slot, as text: the program file, the launcher, the release's own start. Pure functions.

supervisor starts ``<root>/<slot>/launcher``, which never changes: it enters ``current`` and becomes
``<root>/<slot>/.launch/<release>``, which exports the environment and becomes the command. So one rename of
``current`` moves code, command and environment together, forwards and back, and the program file stays as it is.
With words after it the launcher runs those instead, in the release's directory and environment: hooks, migrations,
and a person at a terminal (``sudo -u shop /srv/shop/blue/launcher php bin/console``). One word ``worker:<name>`` or
``cron:<name>`` makes it that job, whose command is in the release's start as well.
"""

from __future__ import annotations

import re
import shlex
from typing import Dict, FrozenSet, Iterable, List, Mapping, Optional, Tuple

from ._model import Refusal, Wish
from ._parts import WORKERS, Job, Member

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_REFERENCE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_PORT_NAME = re.compile(r"[^A-Za-z0-9]")
_JOB_LINE = re.compile(r"^((?:worker|cron):[a-z0-9]+)\) ", re.MULTILINE)

MANAGED = "; Managed by hotswap.bluegreen"
# The permit is locked for as long as the job, or a child that it left its files open, lives; one that was taken away
# while the job began has another inode. So whoever may take it away for good knows that none runs, and none will.
_PERMIT = """permit() {{
  export BLUEGREEN_PERMIT={folder}/"$1"
  exec 9<"$BLUEGREEN_PERMIT"
  flock -n 9 || {{ echo "bluegreen: $1 runs already" >&2; exit 75; }}
  [ "$BLUEGREEN_PERMIT" -ef /dev/fd/9 ] || {{ echo "bluegreen: $1 is not to run here any more" >&2; exit 75; }}
}}"""


def program_name(service: str, slot: str) -> str:
    """supervisor's name of the slot's program."""
    return f"{service}-{slot}"


def slot_variables(member: Member, service: str) -> Dict[str, str]:
    """What every launcher exports, and a command may refer to as ``$PORT`` or ``${PORT}``; BLUEGREEN_RELEASE comes too.

    The place of the single jobs has no port.
    """
    ours = {"BLUEGREEN_SERVICE": service, "BLUEGREEN_SLOT": member.slot, "BLUEGREEN_ADDRESS": member.address}
    if not member.ports:
        return ours
    named = {f"PORT_{_PORT_NAME.sub('_', name).upper()}": str(port) for name, port in member.ports.items()}
    return {"PORT": str(member.port), **named, **ours}


def launcher(root: str, slot: str) -> str:
    """The slot's launcher: the same for every release, without a secret."""
    here = shlex.quote(f"{root}/{slot}")
    return f"""#!/bin/sh
# Managed by hotswap.bluegreen: the slot's program. It becomes the release that `current` points to.
cd -P -- {here}/current || {{ echo "bluegreen: no release in {slot} yet" >&2; exit 1; }}
exec {here}/.launch/"${{PWD##*/}}" "$@"
"""


def start_script(wish: Wish, member: Member, environment: Mapping[str, str], release: str, home: str = "") -> str:
    """The release's own start: exports, then ``exec`` of the command, or of the words that it is given. It may hold secrets: mode 0700.

    ``home`` is the user's: supervisor changes the user and leaves root's HOME in the environment.

    Every value reaches the process as written. Of the command's words only references to what is exported here are
    replaced; ``$$`` is a dollar sign.
    """
    of_user = {"HOME": home, "USER": wish.program.user, "LOGNAME": wish.program.user} if home else {}
    ours = {"BLUEGREEN_DRAIN_WINDOW": f"{wish.goodbye.window:g}"} if wish.goodbye.is_said else {}
    exports = {**of_user, **environment, **slot_variables(member, wish.service), **ours, **in_place(wish, member.slot), "BLUEGREEN_RELEASE": release}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    single = member.slot == WORKERS
    main = 'echo "bluegreen: which job? worker:<name> or cron:<name> is expected" >&2; exit 64' if single else _exec(wish.program.command, exports)
    jobs = _cases(wish.jobs_in(member.slot), exports, permit_folder(wish.root) if single else "")
    return "\n".join(["#!/bin/sh", "# Managed by hotswap.bluegreen.", *lines, *jobs, '[ $# -eq 0 ] || exec "$@"', main, ""])


def in_place(wish: Wish, slot: str) -> Dict[str, str]:
    """What a program finds the next release by that takes it in place: its own working directory is the release it was started with, for ever.

    gunicorn and Puma enter PWD again before they load code, if it is a name of the working directory.
    """
    current = f"{wish.root}/{slot}/current"
    return {"BLUEGREEN_CURRENT": current, "PWD": current} if wish.strategy == "reload" and slot != WORKERS else {}


def _exec(command: Iterable[str], exported: Mapping[str, str]) -> str:
    return f"exec {' '.join(_word(word, exported) for word in command)}"


def _cases(jobs: Iterable[Job], exports: Mapping[str, str], permits: str) -> List[str]:
    """Becoming a job; a single one only with its permit."""
    rows = [f"{job.id}) {f'permit {job.id}; ' if permits else ''}{_exec(job.command, exports)} ;;" for job in jobs]
    return [*([_PERMIT.format(folder=shlex.quote(permits))] if permits else []), 'case "${1-}" in', *rows, "esac"] if rows else []


def jobs_known(start: str) -> FrozenSet[str]:
    """The jobs, by id, that a release's start can become."""
    return frozenset(_JOB_LINE.findall(start))


def permit_folder(root: str) -> str:
    """Where a host keeps the permits of the single jobs that may run there."""
    return f"{root}/{WORKERS}/.permits"


def expanded(text: str, values: Mapping[str, str]) -> str:
    """The text with its references to variables replaced; :class:`KeyError` for one that is not there."""
    return _REFERENCE.sub(lambda match: "$" if match[1] else values[match[2] or match[3]], text)


def exports(start: str) -> Dict[str, str]:
    """The environment that a start script exports."""
    words = shlex.split(start, comments=True)
    pairs = (word.partition("=") for before, word in zip(words, words[1:]) if before == "export")
    return {name: value for name, _other, value in pairs}


def _word(word: str, exported: Iterable[str]) -> str:
    """One word of the command for sh, with the references to exported names left to it."""
    parts: List[str] = []
    end = 0
    for match in _REFERENCE.finditer(word):
        dollar, name = match[1], match[2] or match[3]
        if dollar:
            text = "$"
        elif name in exported:
            text = None
        else:
            continue
        parts.append(shlex.quote(word[end : match.start()]) if match.start() > end else "")
        parts.append(shlex.quote(text) if text else f'"${{{name}}}"')
        end = match.end()
    if end < len(word) or not word:
        parts.append(shlex.quote(word[end:]))
    return "".join(parts)


def check_environment(environment: Mapping[str, object]) -> Dict[str, str]:
    """The environment as strings; :class:`Refusal` names the variable that cannot be one."""
    found = {}
    for name, value in environment.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise Refusal(f"bluegreen_environment: {name!r} is no name of a variable; letters, digits and _ are, not first a digit.")
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif value is None:
            text = ""
        elif isinstance(value, (str, int, float)):
            text = str(value)
        else:
            raise Refusal(f"bluegreen_environment: {name} must be a string or a number, not a {type(value).__name__}.")
        if "\0" in text:
            raise Refusal(f"bluegreen_environment: {name} holds a NUL byte, which no process can be given.")
        found[name] = text
    return found


def own_command(command: Tuple[str, ...]) -> str:
    """The command's path inside the release if it is a relative one with a slash, else ''."""
    first = command[0]
    return first if "/" in first and not first.startswith("/") else ""


def program_file(wish: Wish, slot: str) -> str:
    """The slot's section for supervisor."""
    return f"{MANAGED}.\n{_section(wish, program_name(wish.service, slot), slot)}"


def job_name(service: str, slot: str, job: Job) -> str:
    """supervisor's name of a worker: beside a slot ``shop-blue-mail``, a single one ``shop-queue``."""
    return f"{program_name(service, slot)}-{job.name}" if job.scope == "slot" else f"{service}-{job.name}"


def job_file(wish: Wish, slot: str, job: Job) -> str:
    """A worker's section for supervisor. Its first line says whose it is: that is how one that is no longer wished is found."""
    return f"{job_header(wish.service, slot)}{_section(wish, job_name(wish.service, slot, job), slot, job)}"


def job_header(service: str, slot: str) -> str:
    """The first line of the files of this slot's workers, or, in the place of the single jobs, of those."""
    return f"{MANAGED}: worker of {service} in {slot}.\n"


def _section(wish: Wish, name: str, slot: str, job: Optional[Job] = None) -> str:
    """One program. The only special character left in its values is ``%``, which is doubled."""
    program = wish.program
    how = job or program
    rows: List[Tuple[str, str]] = [
        ("command", f"{wish.root}/{slot}/launcher{f' {job.id}' if job else ''}"),
        ("directory", f"{wish.root}/{slot}"),
        ("process_name", "%(program_name)s"),
        *([("user", program.user)] if program.user else []),
        ("autostart", "true"),
        ("autorestart", how.autorestart),
        ("startsecs", str(how.start_seconds)),
        ("stopsignal", how.stop_signal),
        ("stopwaitsecs", str(how.stop_timeout)),
        ("stopasgroup", _flag(program.stop_as_group)),
        ("killasgroup", _flag(program.kill_as_group)),
        ("redirect_stderr", "true"),
        ("stdout_logfile", f"{program.log_dir}/{name}.log"),
        ("stdout_logfile_maxbytes", program.log_max_bytes),
        ("stdout_logfile_backups", str(program.log_backups)),
    ]
    body = "\n".join(f"{key}={value if '%(' in value else value.replace('%', '%%')}" for key, value in rows)
    return f"[program:{name}]\n{body}\n"


def _flag(value: bool) -> str:
    return "true" if value else "false"
