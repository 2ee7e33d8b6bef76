# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that somebody else made and that run in the place of a slot: taken over by the first release, put back if it fails.

While such a program runs and the slot's own does not, its process is the slot's, on the release ``@<program>``: a name
that no release of ours has.
"""

from __future__ import annotations

import glob
import re
from typing import Any, Dict, FrozenSet, Iterable, List, Optional, Tuple

from . import _files, _program
from ._model import Wish
from ._parts import Health, Member
from ._states import DEAD_STATES
from ._supervisor import Client, Process

_SIGN = "@"
_ANSWERS = (200, 204, 301, 302, 303, 307, 308, 401, 403, 404)  # of a program that nobody has made for our health path


def release_of(program: str) -> str:
    """The release that the program counts as."""
    return _SIGN + program


def program_of(release: Optional[str]) -> str:
    """The program that counts as this release, '' for a release of ours."""
    return release[1:] if release and release.startswith(_SIGN) else ""


def name(wish: Wish, slot: str, release: Optional[str]) -> str:
    """supervisor's name of what runs this release in the slot."""
    return program_of(release) or _program.program_name(wish.service, slot)


def running(wish: Wish, client: Client, slot: str) -> Tuple[str, Process]:
    """The program whose process is the slot's, and that: ours, or, where ours has none, the one to be taken over if it has."""
    own = _program.program_name(wish.service, slot)
    process = client.process(own)
    if slot in wish.adopt and process.state in DEAD_STATES:
        other = client.process(wish.adopt[slot])
        if other.state not in DEAD_STATES:
            return wish.adopt[slot], other
    return own, process


def known(wish: Wish, client: Client, slot: str) -> Optional[str]:
    """The release that the slot can go back to although it is none of ours; None without a program that supervisor still has."""
    program = wish.adopt.get(slot, "")
    return release_of(program) if program and client.process(program).state != "ABSENT" else None


def expected(health: Health) -> Dict[str, Any]:
    """What such a program must answer: anything but an error of its own. It knows nothing of our path, body or header."""
    return {"path": health.path, "statuses": list(_ANSWERS), "body": "", "header": {}}


def holder(client: Client, pids: Iterable[int], tree: Any) -> str:
    """The supervisor program that one of the processes belongs to, '' if it is none. ``tree`` gives the processes below a pid."""
    wanted = frozenset(pids)
    return next((program for program, pid in client.pids().items() if wanted & tree(pid)), "")


def leftovers(wish: Wish, client: Client) -> List[str]:
    """What is still there of programs that were taken over: it would come back with supervisord's next start."""
    found = []
    for slot, program in wish.adopt.items():
        own = client.process(_program.program_name(wish.service, slot))
        if own.pid and client.process(program).state != "ABSENT":
            group = program.partition(":")[0]
            found.append(
                f"{slot} was taken over from the program {program}, which is stopped and would come back when supervisord starts anew, on the same port: "
                f"delete the section {section(wish, client, program)}, run supervisorctl reread and supervisorctl update {group}, "
                f"and take {slot} out of bluegreen_adopt."
            )
    return found


def section(wish: Wish, client: Client, program: str) -> str:
    """``[program:web1] in /etc/supervisor/conf.d/web.conf``."""
    header = f"[program:{program.rpartition(':')[2]}]"
    paths = [wish.supervisor.config, *(path for pattern in client.access.include for path in sorted(glob.glob(pattern)))]
    where = next((path for path in paths if header in (_files.read(path) or "")), "")
    return f"{header} in {where}" if where else header


_FILE = re.compile(r"# configuration file (.+):$")
_UPSTREAM = re.compile(r"(?:^|[\s;}])upstream\s+([^\s{]+)\s*\{")
_SERVER = re.compile(r"(?:^|[\s;{])server\s+([^\s;{]+)")
_PASS = re.compile(r"(?:^|[\s;{}])(proxy_pass\s+https?://([^/\s;]+)[^;]*;)")


def proxied(dump: str, members: Iterable[Member], ours: FrozenSet[str]) -> List[Tuple[str, int, str]]:
    """Where nginx passes requests to these members without us: file, line and the directive. ``dump`` is what ``nginx -T`` prints, ``ours`` are our files."""
    hosts = {f"{address}:{port}" for member in members for port in member.ports.values() for address in (member.address, "localhost")}
    upstream, pools, passes = "", set(hosts), []
    path, number = "", 0
    for line in dump.splitlines():
        header = _FILE.match(line)
        if header:
            path, number, upstream = header[1], 0, ""
            continue
        number += 1
        code = line.partition("#")[0]
        opened = _UPSTREAM.search(code)
        if opened:
            upstream = opened[1]
        inside, closed, _other = code[opened.end() if opened else 0 :].partition("}")
        if upstream and path not in ours and any(server[1] in hosts for server in _SERVER.finditer(inside)):
            pools.add(upstream)
        if closed:
            upstream = ""
        if path not in ours:
            passes += [(path, number, passed[1], passed[2]) for passed in _PASS.finditer(code)]
    return [(path, number, words) for path, number, words, target in passes if target in pools]
