# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user says of two releases side by side: who may see the new one first, and what it is asked before clients reach it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Member, Mixing

from . import _rules
from ._canary_rules import Canary
from ._rules import Problems
from ._values import show

_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}\Z")
_COOKIE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z")  # a part of nginx's variable
_VALUE = re.compile(r"[A-Za-z0-9._~-]{1,128}\Z")
_LISTEN = re.compile(r"([0-9A-Za-z.:\[\]*-]+:)?(?P<port>\d{1,5})\Z")
_LOG = re.compile(r"(/|syslog:)[^;{}\"'\\\n]+\Z")
_LONGEST = 7 * 86400.0  # seconds


@dataclass(frozen=True)
class Flip:
    """What becomes of the slots that were replaced: they stay warm for ``keep`` seconds, and then stop with ``retire``."""

    mixing: Mixing = field(default_factory=Mixing)
    smoke: tuple[Health, ...] = ()
    keep: float = 0.0
    retire: bool = True


def read(values: Mapping[str, Any], canary: Canary, members: Sequence[Member], need: int, problems: Problems) -> Flip:
    """How one slot takes over from the other, as the user wrote it; ``members`` are all that a balancer serves, or the host's own."""
    strategy, keep, old = values["strategy"], values["keep_old"], values["old"]
    problems.unless(0 <= keep <= _LONGEST, f"bluegreen_keep_old is {keep:g}; seconds from 0 to {_LONGEST:.0f} are expected.")
    smoke = tuple(_smoke(number, entry, problems) for number, entry in enumerate(values["smoke"], 1))
    mixing = _mixing(values, canary, problems)
    if strategy not in ("blue_green", "canary"):
        return Flip()
    _check_slots(strategy, members, need, problems)
    return Flip(mixing, smoke, keep, old == "stop")


def _check_slots(strategy: str, members: Sequence[Member], need: int, problems: Problems) -> None:
    """Two slots a host, one of which is idle. Whether one of them is a backup does not matter: they take turns."""
    slots: dict[str, list[Member]] = {}
    for member in members:
        slots.setdefault(member.host, []).append(member)
    for host, own in slots.items():
        names = ", ".join(member.slot for member in own)
        problems.unless(
            len(own) == 2,
            f"bluegreen_strategy is {strategy} and {host} has {len(own)} slot{'s' if len(own) != 1 else ''} ({names}); "
            "two are expected, one that serves and an idle one that takes over: set bluegreen_slots, or use the strategy rolling.",
        )
    problems.unless(
        need <= len(slots) or not slots,
        f"bluegreen_min_serving comes to {need}, and with bluegreen_strategy {strategy} one slot of each host serves, {len(slots)} in all.",
    )


def _mixing(values: Mapping[str, Any], canary: Canary, problems: Problems) -> Mixing:
    preview = values.get("preview") or {}
    header, cookie, value, listen = (str(preview.get(name) or "") for name in ("header", "cookie", "value", "listen"))
    problems.unless(not header or _TOKEN.match(header), f"bluegreen_preview: header is {show(header)}; a header's name, such as X-Preview, is expected.")
    problems.unless(
        not cookie or _COOKIE.match(cookie), f"bluegreen_preview: cookie is {show(cookie)}; a cookie's name of letters, digits and underscores is expected."
    )
    problems.unless(
        not (header or cookie) or _VALUE.match(value),
        "bluegreen_preview: value is what testers must bring in the header or cookie; 1 to 128 of A-Z a-z 0-9 . _ ~ - are expected.",
    )
    problems.unless(not value or header or cookie, "bluegreen_preview has a value, and neither a header nor a cookie that brings it.")
    found = _LISTEN.match(listen)
    problems.unless(
        not listen or (found and 0 < int(found["port"]) < 65536),
        f"bluegreen_preview: listen is {show(listen)}; a port or address:port for nginx to listen on, such as 127.0.0.1:8081, is expected.",
    )
    problems.unless(
        not listen or values["server"], "bluegreen_preview: listen goes with a server block of ours; with bluegreen_server: false add the port to your own."
    )
    logs = tuple(str(words) for words in values["access_log"])
    for words in logs:
        problems.unless(_LOG.match(words), f"bluegreen_access_log has {show(words)}; what follows access_log in nginx, a path first, is expected.")
    weights = canary.weights if values["strategy"] == "canary" else ()
    return Mixing(weights, header, cookie, value, listen, bool(values["canary_sticky"] and weights), logs if weights else ())


def _smoke(number: int, entry: Mapping[str, Any], problems: Problems) -> Health:
    where = f"bluegreen_smoke, entry {number}"
    path, timeout = str(entry.get("path") or ""), entry["timeout"]
    problems.unless(path.startswith("/"), f"{where}: path is {show(path)}; a path such as /login is expected.")
    problems.unless(0 < timeout <= 300, f"{where}: timeout is {timeout:g}; seconds above 0, up to 300, are expected.")
    statuses = _rules.statuses(entry.get("status") or 200, f"{where}: status", problems)
    headers = {str(name): str(value) for name, value in (entry.get("headers") or {}).items()}
    return Health(path=path or "/", statuses=statuses, body=str(entry.get("body") or ""), request_headers=headers, timeout=timeout)
