# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nginx and supervisor are there, and whether they are new enough for what we use of them."""

from __future__ import annotations

import re
import subprocess
from typing import List, Tuple

from ._model import Refusal, Wish
from ._parts import Site

_MIRROR = (1, 13, 4)  # ngx_http_mirror_module: "appeared in version 1.13.4"
_IDLE = (1, 15, 3)  # keepalive_timeout in an upstream: "appeared in version 1.15.3"
_SUPERVISOR = (3, 0)  # addProcessGroup, stopasgroup
_MODULES = ("mirror", "map", "rewrite", "proxy")


def nginx(wish: Wish) -> List[str]:
    """What is wrong with this host's nginx; it says so itself (``-V``, which writes nothing)."""
    try:
        result = subprocess.run([*wish.nginx.command, "-V"], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal(f"nginx: cannot run {wish.nginx.command[0]}: {error}") from None
    return judge_nginx(result.stderr, wish.site)


def judge_nginx(told: str, site: Site) -> List[str]:
    """``told`` is what ``nginx -V`` prints: its version, and how it was built."""
    seen = _numbers(told, r"^nginx version: \S+/(\d+(?:\.\d+)+)")
    need, what = (_IDLE, "keepalive_timeout of an upstream; with bluegreen_upstream_keepalive: 0 it is 1.13.4") if site.keepalive else (_MIRROR, "mirror")
    found = []
    if seen and seen < need:
        found.append(f"nginx: its version is {_text(seen)}; at least {_text(need)} is needed ({what}).")
    used = (*_MODULES, *(["upstream_keepalive"] if site.keepalive else []))
    missing = [f"ngx_http_{name}_module" for name in used if f"--without-http_{name}_module" in told]
    if missing:
        found.append(f"nginx: it was built without {' and '.join(missing)}, which the switch needs. Install one that has it.")
    return found


def judge_supervisor(told: str) -> List[str]:
    """``told`` is what supervisord's getSupervisorVersion answers."""
    seen = _numbers(told, r"^(\d+(?:\.\d+)+)")
    return [f"supervisor: its version is {told}; at least {_text(_SUPERVISOR)} is needed (addProcessGroup)."] if seen and seen < _SUPERVISOR else []


def _numbers(text: str, pattern: str) -> Tuple[int, ...]:
    found = re.search(pattern, text, re.MULTILINE)
    return tuple(map(int, found[1].split("."))) if found else ()


def _text(version: Tuple[int, ...]) -> str:
    return ".".join(map(str, version))
