# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two releases behind one balancer: who of the clients reaches which pool, as text of nginx's configuration. Pure.

A mix is a name that the active link can have instead of a pool's: ``<old>-<new>-<step>``. Step 0 is the preview, where
only testers reach the new pool; step n is the n-th weight. nginx cuts the requests into buckets at the weights, so who
has reached the new pool at 5 % reaches it at 20 % as well; which buckets go where is decided by the link's last part,
for each request. So every step, forwards and back, is one rename, and no reload.
"""

from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Optional

from ._parts import Mixing

_MIX = re.compile(r"(p[0-9a-f]+)-(p[0-9a-f]+)-([0-9]+)\Z")
_KEY = "[0-9a-f]{32}"  # what a client that stays with its side brings, and $request_id is


class Mix(NamedTuple):
    """The pools that share the requests, by name, and at which step of the weights."""

    old: str
    new: str
    step: int

    @property
    def name(self) -> str:
        return f"{self.old}-{self.new}-{self.step}"


def of(link: str) -> Optional[Mix]:
    """The mix that a link's target names, None if that is a pool."""
    found = _MIX.match(link)
    return Mix(found[1], found[2], int(found[3])) if found else None


def percent(mixing: Mixing, step: int) -> float:
    """How much of the requests the new pool gets at this step."""
    return mixing.weights[step - 1] if step else 0.0


def step_of(mixing: Mixing, weight: float) -> int:
    """Which step that weight is."""
    return mixing.weights.index(weight) + 1 if weight else 0


def maps(mixing: Mixing, names: Dict[str, str]) -> List[str]:
    """The lines for ``http``. ``names`` are nginx's variables: ``active`` is the link's target, ``pool`` the pool that it comes to."""
    testers = _testers(mixing, names)
    return [
        *(line for lines in testers.values() for line in lines),
        *_shares(mixing, names),
        *_choice(mixing, names, "".join(testers)),
        *_side(names, "".join(testers)),
    ]


def _testers(mixing: Mixing, names: Dict[str, str]) -> Dict[str, List[str]]:
    """For each way to be a tester: the variable that is 1 for one, and its lines."""
    found = {}
    for way, source in (("header", mixing.header), ("cookie", mixing.cookie)):
        if source:
            variable = f"${'http' if way == 'header' else 'cookie'}_{source.lower().replace('-', '_') if way == 'header' else source}"
            name = f"{names['tester']}_{way}"
            found[name] = [f"map {variable} {name} {{", "    default 0;", f'    "{mixing.value}" 1;', "}"]
    if mixing.listen:
        name = f"{names['tester']}_port"
        found[name] = [f"map $server_port {name} {{", "    default 0;", f"    {port(mixing.listen)} 1;", "}"]
    return found


def port(listen: str) -> str:
    """The port of a listen directive's first word."""
    return listen.split()[0].rpartition(":")[2]


def _shares(mixing: Mixing, names: Dict[str, str]) -> List[str]:
    """The buckets: requests by chance, or clients by what they bring."""
    if not mixing.weights:
        return []
    lines = [f"map $cookie_{names['service']} {names['key']} {{", "    default $request_id;", f'    "~^{_KEY}$" $cookie_{names["service"]};', "}"]
    if mixing.sticky:
        lines += [
            f"map $cookie_{names['service']}:{names['active']} {names['stick']} {{",
            '    default "";',
            f'    "~^{_KEY}:" "";',
            f'    "~-[1-9][0-9]*$" "{names["service"]}=$request_id; Path=/; HttpOnly; SameSite=Lax";',
            "}",
        ]
    borders = [0.0, *mixing.weights]
    parts = [f"    {after - before:.2f}% {number};" for number, (before, after) in enumerate(zip(borders, borders[1:]), 1)]
    key = names["key"] if mixing.sticky else "$request_id"
    return [*(lines if mixing.sticky else []), f"split_clients {key} {names['share']} {{", *parts, f"    * {len(borders)};", "}"]


def _choice(mixing: Mixing, names: Dict[str, str], testers: str) -> List[str]:
    """The pool of a request: of the testers, of a bucket that the step includes, else the old one; and a link that names a pool is that."""
    old, new = names["old"][1:], names["new"][1:]
    share = names["share"] if mixing.weights else "0"
    lines = [
        f'map "{testers or "0"}:{share}:{names["active"]}" {names["pool"]} {{',
        f"    default {names['active']};",
        f'    "~^[01]*1[01]*:[0-9]+:p[0-9a-f]+-(?<{new}>p[0-9a-f]+)-[0-9]+$" ${new};',
    ]
    for step in range(1, len(mixing.weights) + 1):
        buckets = "|".join(map(str, range(1, step + 1)))
        lines.append(f'    "~^0*:({buckets}):p[0-9a-f]+-(?<{new}_{step}>p[0-9a-f]+)-{step}$" ${new}_{step};')
    return [*lines, f'    "~:(?<{old}>p[0-9a-f]+)-p[0-9a-f]+-[0-9]+$" ${old};', "}"]


def _side(names: Dict[str, str], testers: str) -> List[str]:
    """What the canary's log says of an answer; empty, and not logged, while there is one pool. Testers are not judged by."""
    return [
        f'map "{testers or "0"}:{names["pool"]}:{names["active"]}" {names["side"]} {{',
        '    default "";',
        r'    "~^0*:(p[0-9a-f]+):\1-p[0-9a-f]+-[1-9][0-9]*$" old;',
        r'    "~^0*:(p[0-9a-f]+):p[0-9a-f]+-\1-[1-9][0-9]*$" new;',
        "}",
    ]
