# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release is asked before clients reach it: each member by itself, and through nginx as a tester, where testers are let in."""

from __future__ import annotations

import http.client
import re
import ssl
from dataclasses import replace
from typing import Callable, Dict, Optional, Sequence, Tuple

from . import _health
from ._model import Wish
from ._parts import Health, Member

_LISTEN = re.compile(r"(?:(?P<address>\[[0-9a-fA-F:]+\]|[^:\s]+):)?(?P<port>\d+)\Z")
_ANY = {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "::1"}

Front = Tuple[str, int, bool]  # address, port, and whether it is TLS


def ask(wish: Wish, members: Sequence[Member], sleep: Callable[[float], None]) -> Tuple[int, Optional[Tuple[Health, str, str, str]]]:
    """How many answers were right; and what was asked where, of whom, and what was seen instead, once one was not."""
    right = 0
    way = front(wish)
    for wanted in wish.smoke:
        for member in members:
            good, seen = _health.ask(member, wanted, sleep=sleep)
            if not good:
                return right, (wanted, f"{member.address}:{_health.port(member, wanted)}", member.id, seen)
            right += 1
        for _member in members if way else ():
            good, seen = through(wish, way, wanted) if way else (True, "")
            if not good:
                return right, (wanted, f"nginx as a tester, port {way[1] if way else ''}", "", seen)
            right += 1
    return right, None


def front(wish: Wish) -> Optional[Front]:
    """Where nginx lets testers in; None if there are none, or the server block is somebody else's."""
    mixing = wish.mixing
    if not wish.site.enabled or not (mixing.header or mixing.cookie or mixing.listen):
        return None
    words = mixing.listen or wish.site.listen.get(next(iter(wish.pool[0].ports)), "")
    found = _LISTEN.match(words.split()[0]) if words else None
    if not found:
        return None
    address = found["address"] or ""
    return _ANY.get(address, address.strip("[]")), int(found["port"]), bool(wish.site.tls_certificate and not mixing.listen)


def through(wish: Wish, way: Front, wanted: Health) -> Tuple[bool, str]:
    """Ask once as a tester. The certificate is not looked at: it is ours, on this host."""
    address, port, tls = way
    connection: http.client.HTTPConnection = (
        http.client.HTTPSConnection(address, port, timeout=wanted.timeout, context=ssl._create_unverified_context())
        if tls
        else http.client.HTTPConnection(address, port, timeout=wanted.timeout)
    )
    asked = replace(wanted, request_headers={**_as_tester(wish), **wanted.request_headers})
    try:
        status, headers, body = _health.fetch(connection, asked.path, asked.request_headers, asked.timeout)
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer: {str(error) or type(error).__name__}"
    wrong = _health.judge(asked, status, headers, body)
    return wrong is None, wrong or ""


def _as_tester(wish: Wish) -> Dict[str, str]:
    mixing, name = wish.mixing, wish.site.server_name.split()[0] if wish.site.server_name else "_"
    found = {} if name == "_" or "*" in name or name.startswith("~") else {"Host": name}
    if mixing.listen:
        return found
    return {**found, mixing.header: mixing.value} if mixing.header else {**found, "Cookie": f"{mixing.cookie}={mixing.value}"}
