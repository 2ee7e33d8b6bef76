# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must answer before a release is begun: a URL, or a command. Asked on a host, or on the controller.

Request headers, queries of URLs, arguments of commands and bodies of answers may be secrets: no sentence has them.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import signal
import subprocess
import tempfile
import urllib.parse
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from . import _health, _users
from ._model import Refusal

_LINES, _LETTERS = 5, 160  # of a command's output that a sentence repeats


@dataclass(frozen=True)
class Check:
    """Either ``url`` or ``command``. ``number`` is its place in the user's list; ``output`` is what the command must print, in part."""

    number: int
    url: str = ""
    statuses: Tuple[int, ...] = (200,)
    body: str = ""
    headers: Dict[str, str] = field(default_factory=dict)
    command: Tuple[str, ...] = ()
    output: str = ""
    timeout: float = 10.0
    on: str = "host"

    @property
    def name(self) -> str:
        parts = urllib.parse.urlsplit(self.url)
        what = f"GET {parts.scheme}://{parts.netloc}{parts.path}{'?…' if parts.query else ''}" if self.url else self.command[0]
        return f"bluegreen_config_checks, entry {self.number} ({what})"


def findings(checks: Sequence[Check], user: str, where: str) -> List[str]:
    """What does not answer as expected, a sentence each; commands run as ``user`` if it is one and we may. ``where`` is said."""
    found = []
    for check in checks:
        wrong = _ask(check) if check.url else _run(check, user)
        if wrong:
            found.append(f"{check.name}, asked from {where}: expected {_expected(check)}; seen: {wrong}.")
    return found


def _expected(check: Check) -> str:
    if check.url:
        body = f" with {check.body!r} in its body" if check.body else ""
        return f"{' or '.join(map(str, check.statuses))}{body} within {check.timeout:g} s"
    output = f" and {check.output!r} in its output" if check.output else ""
    return f"exit status 0{output} within {check.timeout:g} s"


def _ask(check: Check) -> str:
    """What is wrong with the answer, '' if nothing is. A redirect is an answer like any other."""
    parts = urllib.parse.urlsplit(check.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    try:
        status, _headers, body = _health.fetch(kind(parts.hostname or "", parts.port, timeout=check.timeout), path, check.headers, check.timeout)
    except (OSError, http.client.HTTPException) as error:
        return f"no answer ({str(error) or type(error).__name__})"
    if status not in check.statuses:
        return f"status {status}"
    return "" if check.body in body else f"status {status} with {len(body)} characters without that text"


def _run(check: Check, user: str) -> str:
    """What is wrong with the command's end and output, '' if nothing is."""
    environment = dict(os.environ)
    drop = _users.dropper(user)
    if drop:  # as a login of that user, with nothing of ours
        entry = pwd.getpwnam(user)
        environment = {"PATH": environment.get("PATH", os.defpath), "HOME": entry.pw_dir, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8"}
    try:
        code, text = run(check.command, check.timeout, environment, drop=drop)
    except Refusal as error:
        return str(error)
    if code == 0 and check.output in text:
        return ""
    return words(code, text)


def run(
    command: Sequence[str], timeout: float, environment: Mapping[str, str], folder: str = "/", drop: Optional[Callable[[], None]] = None
) -> Tuple[Optional[int], str]:
    """A command's exit status, and what it printed; None for one that was ended after ``timeout`` seconds. :class:`Refusal` if it cannot be run.

    What it left behind in its process group ends with it. ``drop`` is called in it before it begins, to become somebody else.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                list(command),
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=drop,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Refusal(f"it cannot be run ({getattr(error, 'strerror', None) or error})") from None
        code: Optional[int] = None
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout)
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return code, output.read().decode("utf-8", "replace")


def words(code: Optional[int], text: str) -> str:
    """How a command ended, with the last lines of what it printed."""
    how = "it was still running, and was ended" if code is None else f"exit status {code}"
    last = [line[:_LETTERS] for line in text.splitlines() if line.strip()][-_LINES:]
    return f"{how}, {'its last lines: ' + ' | '.join(last) if last else 'it printed nothing'}"
