# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tell an application that it gets no new request, so that it can let its clients go before it is stopped.

It is the old release that is told, which may know nothing of it. A goodbye must never lose more than none: a signal is
sent only to a process that handles it, because it would end by it, and a request is taken for heard only with a 2xx.
"""

from __future__ import annotations

import http.client
import signal
import time
from typing import TYPE_CHECKING, Dict

from . import _adopt, _files, _health, _processes, _program
from ._model import Wish
from ._parts import Member
from ._release import SlotPlace

if TYPE_CHECKING:
    from ._supervisor import Client


class Untold(Exception):
    """The application was not told; the text says why."""


def tell(wish: Wish, member: Member, client: Client, program: str, pid: int) -> str:
    """Tell the process of the member once, and say how. A second time must do no harm: a run that was cut off tells again."""
    return _by_signal(wish.goodbye.signal, client, program, pid) if wish.goodbye.signal else _by_request(wish, member)


def _by_signal(name: str, client: Client, program: str, pid: int) -> str:
    if not _processes.heeds(pid, signal.Signals[f"SIG{name}"]):
        what = f"{_processes.describe(pid)} has no handler for bluegreen_drain_signal {name}, and could end by it"
        raise Untold(f"{what}. Let the command `exec` the application, and the application handle it")
    client.signal(program, name)
    return f"{name} to pid {pid}"


def _by_request(wish: Wish, member: Member) -> str:
    goodbye, seconds = wish.goodbye, wish.health.timeout
    port = _health.port(member, wish.health)
    asked = f"{goodbye.method} {goodbye.path} on port {port}"
    path = f"{goodbye.path}{'&' if '?' in goodbye.path else '?'}seconds={goodbye.window:g}"
    began = time.monotonic()
    try:
        headers = {**_headers(wish, member), "X-Drain-Seconds": f"{goodbye.window:g}"}
        status, _told, _body = _health.fetch(http.client.HTTPConnection(member.address, port, timeout=seconds), path, headers, seconds, goodbye.method)
    except (OSError, http.client.HTTPException) as error:
        late = time.monotonic() - began >= seconds
        why = f"no answer within bluegreen_health_timeout ({seconds:g} s)" if late else f"no answer: {str(error) or type(error).__name__}"
        raise Untold(f"{asked}: {why}") from None
    if not 200 <= status < 300:
        raise Untold(f"{asked} answers {status}, 2xx is expected (bluegreen_drain_url)")
    return f"{asked} answers {status}"


def _headers(wish: Wish, member: Member) -> Dict[str, str]:
    """The user's headers, with what they refer to in the environment of the release that is told. So no secret travels with the wish."""
    place = SlotPlace(wish.root, member.slot)
    release = place.current or ""
    values = _program.exports(_files.read(place.start_path(release)) or "") if release and not _adopt.program_of(release) else {}
    try:
        return {name: _program.expanded(text, values) for name, text in wish.goodbye.headers.items()}
    except KeyError as missing:
        raise Untold(
            f"not told: bluegreen_drain_headers refers to ${missing.args[0]}, which is not in the environment of release {release or 'before us'}"
        ) from None
