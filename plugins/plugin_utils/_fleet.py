# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole fleet of a service, seen from one task: what each host shall run, its balancers, those beyond the ``--limit``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member

from . import _hostvars, _moments, _planner, _task, _topology, _variables, _whole, _wish
from ._topology import Topology

_GONE = "If it is gone for good, name it in bluegreen_balancers_absent, with the reason."


@dataclass(frozen=True)
class Fleet:
    """``wishes``: what this run may change, the hosts that run members in inventory order, then the balancers.

    ``outside`` are hosts that run the service and are not in this run, because of ``--limit``; ``unreachable`` those
    that are left out of it as bluegreen_max_unreachable allows, and why.
    """

    topology: Topology
    rollout: _wish.Rollout
    wishes: tuple[Wish, ...]
    outside: tuple[Wish, ...] = ()
    unreachable: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return self.wishes[0].service

    @property
    def release(self) -> str:
        return self.wishes[0].release

    def of(self, host: str) -> Wish:
        """The wish of a host of this run."""
        return next(wish for wish in self.wishes if wish.host == host)

    @property
    def keeper(self) -> Wish:
        """The wish of the fleet's first balancer, which keeps the lock."""
        return next(wish for wish in (*self.wishes, *self.outside) if wish.host == self.topology.keeper)


def resolve(action: ActionBase, task_vars: Mapping[str, Any], role: str = "release") -> _wish.Resolved | None:
    """What the task's own host shall run or balance, None if it has nothing to do with the service."""
    return _resolve(action, task_vars, str(task_vars["inventory_hostname"]), role)


def topology(action: ActionBase, task_vars: Mapping[str, Any], role: str = "release") -> Topology:
    """The fleet's shape, as the task's own host sees it; where that has no variables of ours, as the first one that has."""
    return _topology.read(_values(action, task_vars, _reference(action, task_vars), role), task_vars["groups"], _hostvars.named(action, task_vars))


@dataclass(frozen=True)
class Beyond:
    """What one host of the play looks after for all of them: ``is_first`` is whether it is the one; ``balancers`` are those that the play does not have."""

    is_first: bool
    balancers: tuple[Wish, ...] = ()


def beyond(action: ActionBase, task_vars: Mapping[str, Any], role: str = "release") -> Beyond:
    """It is the first of the play's hosts that runs the service; the others have nothing to look after."""
    shape = topology(action, task_vars, role)
    play = task_vars["ansible_play_hosts_all"]
    first = next((host for host in shape.hosts if host in play), None)
    if task_vars["inventory_hostname"] != first:
        return Beyond(False)
    return Beyond(True, tuple(_required(action, task_vars, host, role) for host in shape.balancers if host not in play))


def of(action: ActionBase, task_vars: Mapping[str, Any]) -> Fleet:
    """The fleet of this run. :class:`Refusal` if a host of the play was not asked (preflight), or too many are unreachable."""
    about = _task.rollback(action, task_vars)
    if "members" in about:
        return _of_maintenance(action, task_vars, about)
    shape = topology(action, task_vars)
    here = _resolve(action, task_vars, shape.hosts[0] if task_vars["inventory_hostname"] in shape.balancers else str(task_vars["inventory_hostname"]))
    if here is None:
        raise Refusal(f"{task_vars['inventory_hostname']} has nothing to do with the service.")
    play = [host for host in task_vars["ansible_play_hosts_all"] if host in shape.hosts or host in shape.balancers]
    gone = {host: why for host in play for why in [_task.fact(task_vars, host, "bluegreen_unreachable")] if why}
    counted = {host: why for host, why in gone.items() if not _task.fact(task_vars, host, "bluegreen_worked_on")}
    _refuse_unreachable(gone, shape, here.rollout.max_unreachable, len(gone) - len(counted))
    found = {host: _of_play(task_vars, host) for host in play if host not in gone}
    swapped = [found[host] for host in shape.hosts if host in found]
    balancers = [found.get(host) or _required(action, task_vars, host) for host in shape.balancers]
    outside = [_required(action, task_vars, host) for host in shape.hosts if host not in play]
    if not swapped:
        raise Refusal(f"none of the play's hosts runs the service; it runs on {', '.join(shape.hosts)}.")
    _refuse_differences(swapped, shape)
    _refuse_part_of_canary(swapped, outside)
    wrong = _moments.misplaced(swapped, task_vars["hostvars"])
    if wrong:
        raise Refusal("\n".join(wrong))
    wishes = (*swapped, *balancers)
    return Fleet(shape, here.rollout, wishes, tuple(outside), counted)


def _of_maintenance(action: ActionBase, task_vars: Mapping[str, Any], about: Mapping[str, Any]) -> Fleet:
    """The balancers, and, where members come back to a release, their hosts; whoever has nothing to do is outside, so it may be gone."""
    shape = topology(action, task_vars, _variables.LIVE)
    resolved = [_resolve(action, task_vars, host, _variables.LIVE) for host in (*shape.hosts, *shape.balancers)]
    found = [one for one in resolved if one is not None]
    back = {member.partition("/")[0] for member in about["members"]} if about["release"] else set()
    mine = [one.wish for one in found if one.wish.pool or one.wish.host in back]
    return Fleet(shape, found[0].rollout, tuple(mine), tuple(one.wish for one in found if one.wish not in mine))


def bare(action: ActionBase, task_vars: Mapping[str, Any]) -> Fleet:
    """All hosts of the service, as far as its lock needs them: no release is asked for, and no host was looked at."""
    shape = topology(action, task_vars, "nginx_upstream")
    hosts = []
    for host in shape.hosts:
        wish = _required(action, task_vars, host, "nginx_upstream")
        hosts.append(replace(wish, root=_required(action, task_vars, host, "supervisor_program").root))
    balancers = [_required(action, task_vars, host, "nginx_upstream") for host in shape.balancers]
    return Fleet(shape, _wish.Rollout(), (*hosts, *balancers))


def live(action: ActionBase, task_vars: Mapping[str, Any]) -> Fleet:
    """All hosts of the service as they are, whatever the play: no release is asked for, and nothing that staging needs."""
    shape = topology(action, task_vars, _variables.LIVE)
    resolved = [_resolve(action, task_vars, host, _variables.LIVE) for host in (*shape.hosts, *shape.balancers)]
    found = [one for one in resolved if one is not None]
    return Fleet(shape, found[0].rollout, tuple(replace(one.wish, release="") for one in found))


def wish_of(action: ActionBase, task_vars: Mapping[str, Any], host: str) -> Wish:
    """What a host of the service shall run or balance, in the play or not."""
    return _required(action, task_vars, host)


def _refuse_unreachable(gone: Mapping[str, str], shape: Topology, allowed: int, worked_on: int = 0) -> None:
    """``worked_on`` of those that are gone are in maintenance, which is allowed."""
    words = "\n".join(gone.values())
    if len(gone) - worked_on > allowed:
        raise Refusal(f"{words}\n{len(gone) - worked_on} hosts are unreachable; bluegreen_max_unreachable is {allowed}.")
    for host in gone:
        if host in shape.balancers:
            raise Refusal(f"{words}\n{host} is a balancer: no member that it may still serve can be stopped. {_GONE}")
        if host == shape.keeper:
            raise Refusal(f"{words}\n{host} keeps the service's lock, as the first of its hosts. {_GONE}")


def _refuse_part_of_canary(wishes: list[Wish], outside: list[Wish]) -> None:
    """A canary's weights are shares of all requests: with some of the hosts, few members would get them."""
    if wishes[0].strategy == "canary" and outside and not wishes[0].rollback:
        raise Refusal(
            f"bluegreen_strategy is canary, and --limit leaves {', '.join(wish.host for wish in outside)} out: its weights are shares of all requests, "
            "so all hosts are needed. Run it without --limit, or with another strategy."
        )


def _refuse_differences(wishes: list[Wish], shape: Topology) -> None:
    for wish in wishes:
        if wish.balancers != shape.of(wish.host):
            raise Refusal(
                f"{wish.host} is balanced by {', '.join(wish.balancers)}, and {wishes[0].host} by {', '.join(wishes[0].balancers)}: "
                "set bluegreen_group, bluegreen_balancers and bluegreen_local_balancer alike for all hosts of the service."
            )
        if (wish.service, wish.release) != (wishes[0].service, wishes[0].release):
            raise Refusal(
                f"{wishes[0].host} shall run release {wishes[0].release} of {wishes[0].service}, {wish.host} release {wish.release} of {wish.service}: "
                "one run is for one release of one service. Set bluegreen_service and bluegreen_release alike for all of its hosts."
            )
        if wish.strategy != wishes[0].strategy:
            raise Refusal(
                f"bluegreen_strategy is {wishes[0].strategy} for {wishes[0].host} and {wish.strategy} for {wish.host}: "
                "set it alike for all hosts of the service."
            )
        if wish.fleet_jobs != wishes[0].fleet_jobs:
            raise Refusal(
                f"{wishes[0].host} and {wish.host} have other jobs of scope fleet, or the same on another host: set bluegreen_workers and bluegreen_cron "
                "alike for all hosts of the service."
            )


def _of_play(task_vars: Mapping[str, Any], host: str) -> Wish:
    wish = _task.fact(task_vars, host, "bluegreen_wish")
    if not wish or not _whole.is_checked(task_vars, host):
        raise Refusal(_whole.unchecked(host))
    return load(Wish, wish)


def _required(action: ActionBase, task_vars: Mapping[str, Any], host: str, role: str = "release") -> Wish:
    """The wish of a host that is not in the play."""
    resolved = _resolve(action, task_vars, host, role)
    if resolved is None:  # it came out of the topology
        raise AssertionError
    return resolved.wish


def _reference(action: ActionBase, task_vars: Mapping[str, Any]) -> str:
    """A host that has the service's variables: this one, or, for a balancer without any, the first that the play names."""
    here = str(task_vars["inventory_hostname"])
    if "bluegreen_service" in task_vars:
        return here
    return next((host for host in _hostvars.named(action, task_vars) if "bluegreen_service" in _hostvars.of(action, task_vars, host)), here)


def _values(action: ActionBase, task_vars: Mapping[str, Any], host: str, role: str, base: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A host's typed values; a fault of another host names it."""
    variables = _hostvars.of(action, task_vars, host)
    own = host == task_vars["inventory_hostname"]
    back = _task.rollback(action, task_vars)
    if back:  # for what the other variables make of it, too
        variables = {**variables, "bluegreen_release": back["release"]}
    template = action._templar.template if own and not back and not _hostvars.unanswered(task_vars) else _hostvars.templater(action, variables)
    try:
        return _variables.collect(variables, template, _variables.LIVE if back and role == "release" else role, base)
    except Refusal as error:
        raise error if own else Refusal(f"{host}: {error}") from None


def _resolve(action: ActionBase, task_vars: Mapping[str, Any], host: str, role: str = "release") -> _wish.Resolved | None:
    shape = topology(action, task_vars, role)
    if host in shape.hosts:
        return _resolve_values(action, task_vars, host, role, shape)
    if host not in shape.balancers:
        return None
    resolved = [_resolve_values(action, task_vars, name, role, shape) for name in shape.hosts]
    values = _values(action, task_vars, host, role, _values(action, task_vars, shape.hosts[0], role))
    members: tuple[Member, ...] = tuple(member for one in resolved for member in one.wish.members)
    batches = _planner.batches([one.wish for one in resolved], resolved[0].rollout.serial)
    return _wish.resolve(values, host, shape, members, batches, bool(_task.rollback(action, task_vars)))


def _resolve_values(action: ActionBase, task_vars: Mapping[str, Any], host: str, role: str, shape: Topology) -> _wish.Resolved:
    values = _values(action, task_vars, host, role)
    variables = _hostvars.of(action, task_vars, host)
    address = variables.get("ansible_host")
    if address is not None and shape.balancers and not values["address"]:
        values["reached_at"] = str(_hostvars.templater(action, variables)(address))
    elif shape.balancers:
        values["reached_at"] = host
    try:
        return _wish.resolve(values, host, shape, rollback=bool(_task.rollback(action, task_vars)))
    except Refusal as error:
        raise error if host == task_vars["inventory_hostname"] else Refusal(f"{host}: {error}") from None
