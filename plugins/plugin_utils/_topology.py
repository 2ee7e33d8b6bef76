# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts run the service and which balance it. Pure: from typed variables and the inventory's groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from ._values import listed, show


@dataclass(frozen=True)
class Topology:
    """The fleet, in inventory order, without those that are gone for good (``absent``, with the reason).

    ``hosts`` run the service, ``balancers`` are hosts that balance all of it; ``local`` says that each host's own
    nginx serves its own slots.
    """

    hosts: tuple[str, ...]
    balancers: tuple[str, ...] = ()
    local: bool = True
    absent: Mapping[str, str] = field(default_factory=dict)

    def of(self, host: str) -> tuple[str, ...]:
        """The balancers of a host's members."""
        return (*self.balancers, *((host,) if self.local else ()))

    @property
    def keeper(self) -> str:
        """The fleet's first balancer, which keeps the lock."""
        return (self.balancers or self.hosts)[0]


def read(values: Mapping[str, Any], groups: Mapping[str, Sequence[str]], named: Sequence[str]) -> Topology:
    """The topology by one host's values; ``named`` are the hosts that the play names, the service's unless it has a group."""
    group = values["group"]
    members = _hosts(group, groups, "bluegreen_group") if group else list(named)
    given = values["balancers"]
    words = listed(given)
    if not all(isinstance(word, str) for word in words):
        raise Refusal(f"bluegreen_balancers is {show(given)}; a group or host of the inventory, or a list of them, is expected.")
    balancers = list(dict.fromkeys(host for word in words if word for host in _hosts(word, groups, "bluegreen_balancers")))
    known = {*members, *balancers}
    absent = {str(host): str(why or "") for host, why in values["balancers_absent"].items()}
    for host, why in absent.items():
        if host not in known:
            raise Refusal(
                f"bluegreen_balancers_absent names {show(host)}, which is no balancer of the service; its balancers: {', '.join(balancers or members)}."
            )
        if not why.strip():
            raise Refusal(f"bluegreen_balancers_absent: say why {host} is gone, as in {{{host}: burnt down}}.")
    left = [host for host in balancers if host not in absent]
    if balancers and not left:
        raise Refusal("bluegreen_balancers_absent names every balancer of the service; one must be left.")
    local = values["local_balancer"]
    is_local = not balancers if local is None else bool(local)
    if not balancers and not is_local:
        raise Refusal("bluegreen_local_balancer is false and bluegreen_balancers is empty: nothing would give requests to the slots. Set one of them.")
    hosts = [host for host in members if host not in balancers and host not in absent]
    if not hosts:
        raise Refusal(f"no host runs the service: {f'the group {group}' if group else 'the play'} has none but balancers. Set bluegreen_group.")
    return Topology(tuple(hosts), tuple(left), is_local, absent)


def _hosts(name: str, groups: Mapping[str, Sequence[str]], variable: str) -> list[str]:
    """The hosts of a group, or the one host of that name."""
    if name in groups:
        return list(groups[name])
    if any(name in hosts for hosts in groups.values()):
        return [name]
    raise Refusal(f"{variable} is {show(name)}, which is neither a group nor a host of the inventory. Its groups: {', '.join(sorted(groups))}.")
