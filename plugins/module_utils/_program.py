# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What supervisor runs for a slot, as text: the program file, the launcher, the release's own start. Pure functions.

supervisor starts ``<root>/<slot>/launcher``, which never changes: it enters ``current`` and becomes
``<root>/<slot>/.launch/<release>``, which exports the environment and becomes the command. So one rename of
``current`` moves code, command and environment together, forwards and back, and the program file stays as it is.
With words after it the launcher runs those instead, in the release's directory and environment: hooks, migrations,
and a person at a terminal (``sudo -u shop /srv/shop/blue/launcher php bin/console``).
"""

from __future__ import annotations

import re
import shlex
from typing import Dict, Iterable, List, Mapping, Tuple

from ._model import Member, Program, Refusal, Wish

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_REFERENCE = re.compile(r"\$(?:(\$)|([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_PORT_NAME = re.compile(r"[^A-Za-z0-9]")


def program_name(service: str, slot: str) -> str:
    """supervisor's name of the slot's program."""
    return f"{service}-{slot}"


def slot_variables(member: Member, service: str) -> Dict[str, str]:
    """What every launcher exports, and a command may refer to as ``$PORT`` or ``${PORT}``; BLUEGREEN_RELEASE comes too."""
    named = {f"PORT_{_PORT_NAME.sub('_', name).upper()}": str(port) for name, port in member.ports.items()}
    return {"PORT": str(member.port), **named, "BLUEGREEN_SERVICE": service, "BLUEGREEN_SLOT": member.slot, "BLUEGREEN_ADDRESS": member.address}


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
    exports = {**of_user, **environment, **slot_variables(member, wish.service), "BLUEGREEN_RELEASE": release}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    words = " ".join(_word(word, exports) for word in wish.program.command)
    return "\n".join(["#!/bin/sh", "# Managed by hotswap.bluegreen.", *lines, '[ $# -eq 0 ] || exec "$@"', f"exec {words}", ""])


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


def own_command(program: Program) -> str:
    """The command's path inside the release if it is a relative one with a slash, else ''."""
    first = program.command[0]
    return first if "/" in first and not first.startswith("/") else ""


def program_file(wish: Wish, slot: str) -> str:
    """The slot's section for supervisor. The only special character left in its values is ``%``, which is doubled."""
    program = wish.program
    rows: List[Tuple[str, str]] = [
        ("command", f"{wish.root}/{slot}/launcher"),
        ("directory", f"{wish.root}/{slot}"),
        ("process_name", "%(program_name)s"),
        *([("user", program.user)] if program.user else []),
        ("autostart", "true"),
        ("autorestart", program.autorestart),
        ("startsecs", str(program.start_seconds)),
        ("stopsignal", program.stop_signal),
        ("stopwaitsecs", str(program.stop_timeout)),
        ("stopasgroup", _flag(program.stop_as_group)),
        ("killasgroup", _flag(program.kill_as_group)),
        ("redirect_stderr", "true"),
        ("stdout_logfile", f"{program.log_dir}/{program_name(wish.service, slot)}.log"),
        ("stdout_logfile_maxbytes", program.log_max_bytes),
        ("stdout_logfile_backups", str(program.log_backups)),
    ]
    body = "\n".join(f"{key}={value if '%(' in value else value.replace('%', '%%')}" for key, value in rows)
    return f"; Managed by hotswap.bluegreen.\n[program:{program_name(wish.service, slot)}]\n{body}\n"


def _flag(value: bool) -> str:
    return "true" if value else "false"
