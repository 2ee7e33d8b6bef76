# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The slots: members with ports of their own, what nginx listens on for them, and whether a swap can keep some serving."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member
from ansible_collections.hotswap.bluegreen.plugins.module_utils._program import program_name
from ansible_collections.hotswap.bluegreen.plugins.module_utils._release import RESERVED_SLOTS

from ._commands import is_word
from ._rules import NGINX_WORDS, Problems
from ._topology import Topology
from ._values import show

_SLOT = re.compile(r"[a-z][a-z0-9]{0,15}\Z")
_PROGRAM = re.compile(r"[^\s:\[\];,/]+(:[^\s:\[\];,/]+)?\Z")  # as supervisor takes it, with its group
_PORT_NAME = re.compile(r"[a-z][a-z0-9]{0,15}\Z")


def address(values: Mapping[str, Any], shape: Topology, problems: Problems) -> str:
    """The host's address for its balancers. ``reached_at`` is where Ansible reaches it, which the balancers do as well if it is one.

    For a wrong one another stands in, so that it is told once and not of each slot.
    """
    given = values["address"]
    if given:
        known = problems.unless(_is_address(given), f"bluegreen_address is {show(given)}; an IPv4 address such as 10.0.0.7 is expected.")
        return str(given) if known else "127.0.0.1"
    if not shape.balancers or all(slot.get("address") for slot in values["slots"]):
        return "127.0.0.1"
    reached = str(values.get("reached_at", ""))
    known = problems.unless(
        _is_address(reached) and not ipaddress.IPv4Address(reached).is_loopback,
        f"bluegreen_address is not set, and {show(reached)} is no address at which {', '.join(shape.balancers)} could reach this host: "
        'set it to this host\'s IPv4 address, as in bluegreen_address: "{{ ansible_default_ipv4.address }}".',
    )
    return reached if known else "127.0.0.1"


def members(values: Mapping[str, Any], host: str, default: str, problems: Problems) -> tuple[Member, ...]:
    """The host's slots as members; those that are wrong in themselves are noted. ``default`` is the address of those without one."""
    found = []
    for number, slot in enumerate(values["slots"], 1):
        name = slot.get("name")
        if not problems.unless(name, f"bluegreen_slots: slot {number} has no name."):
            continue
        problems.unless(
            _SLOT.match(name) and name not in RESERVED_SLOTS,
            f"bluegreen_slots: slot {number} is named {show(name)}; a lower-case letter and up to 15 lower-case letters and digits are expected, "
            f"and not {', '.join(sorted(RESERVED_SLOTS))}.",
        )
        where = slot["address"] or default
        problems.unless(_is_address(where), f"bluegreen_slots: the address of {name} is {show(where)}; an IPv4 address such as 127.0.0.1 is expected.")
        problems.unless(slot["weight"] >= 1, f"bluegreen_slots: the weight of {name} is {slot['weight']}; 1 or more is expected.")
        found.append(Member(host, name, _ports(slot, name, problems), where, slot["backup"], slot["weight"]))
    names = [member.slot for member in found]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.found.append(f"bluegreen_slots: {names.count(name)} slots are named {name}; each needs a name of its own.")
    _check_ports(found, problems)
    return tuple(found)


def _is_address(text: str) -> bool:
    """Whether nginx and the kernel's table of sockets know the address by this text."""
    try:
        return not ipaddress.IPv4Address(text).is_unspecified
    except ValueError:
        return False


def _check_ports(members: list[Member], problems: Problems) -> None:
    users: dict[tuple[str, int], str] = {}
    for member in members:
        for name, port in member.ports.items():
            user = f"{member.slot} ({name})"
            first = users.setdefault((member.address, port), user)
            problems.unless(first is user, f"bluegreen_slots: port {port} is used twice, by {first} and {user}; each needs its own.")
    shapes = {tuple(member.ports) for member in members if member.ports}
    problems.unless(
        len(shapes) <= 1,
        "bluegreen_slots: every slot needs the same names of ports in the same order; seen: "
        + " and ".join(", ".join(shape) for shape in sorted(shapes))
        + ".",
    )


def _ports(slot: Mapping[str, Any], name: str, problems: Problems) -> dict[str, int]:
    one, several = slot.get("port"), slot.get("ports")
    if not problems.unless(
        (one is None) != (not several), f"bluegreen_slots: {name} has {'both port and' if several else 'neither port nor'} ports; one of them is expected."
    ):
        return {}
    found = {}
    for port_name, value in (several or {"http": one}).items():
        problems.unless(_PORT_NAME.match(str(port_name)), f"bluegreen_slots: {show(port_name)} of {name} is no name of a port (http, ws, rpc, …).")
        number = _port(value)
        if problems.unless(number, f"bluegreen_slots: port {show(value)} of {name} is out of range; a number from 1 to 65535 is expected."):
            found[str(port_name)] = number
    return found


def _port(value: Any) -> int:
    """A port's number, 0 if it is none."""
    text = str(value)
    return int(text) if re.match(r"[0-9]{1,5}\Z", text) and int(text) <= 65535 else 0


def check_pool(host: str, pool: Sequence[Member], need: int, problems: Problems) -> None:
    """Whether the balancer ``host`` can keep ``need`` of its members serving while one of them is swapped."""
    count = len(pool)
    own = all(member.host == host for member in pool)
    has = f"bluegreen_slots has {count} slot{'s' if count != 1 else ''}" if own else f"{host} balances {count} member{'s' if count != 1 else ''}"
    problems.unless(not all(member.backup for member in pool), "bluegreen_slots: every slot is a backup; one must not be.")
    problems.unless(
        count > need,
        f"{has} and bluegreen_min_serving is {need}: none could be swapped without downtime. Add a slot, or accept the downtime with bluegreen_min_serving: 0.",
    )
    shapes = {tuple(member.ports) for member in pool if member.ports}
    problems.unless(
        len(shapes) <= 1 or own,  # one host's own has been said
        "bluegreen_slots: every host's slots need the same names of ports in the same order, because one balancer serves them all.",
    )


def check_ports(values: Mapping[str, Any], members: Sequence[Member], problems: Problems) -> None:
    """Whether the balancer speaks what the members' ports speak."""
    problems.unless(values["slots"], "bluegreen_slots is empty; a service needs at least one slot.")
    names = {name for member in members for name in member.ports}
    for name, protocol in values["protocols"].items():
        problems.unless(name in names, f"bluegreen_protocols: no slot has a port named {show(name)}.")
        problems.unless(
            protocol == "http",
            f"bluegreen_protocols: port {show(name)} is {show(protocol)}; the balancer's switch works for http (and WebSocket) only, so it cannot be "
            "behind it. Take it out of bluegreen_slots.",
        )
    if values["health_port"]:
        problems.unless(values["health_port"] in names, f"bluegreen_health_port: no slot has a port named {show(values['health_port'])}.")


def listen(values: Mapping[str, Any], members: Sequence[Member], beside: Sequence[Member], problems: Problems) -> dict[str, str]:
    """nginx's listen parameters by the name of the port that they lead to. ``beside`` are the members on nginx's own host."""
    names = list(members[0].ports) if members else []
    given = values["listen"]
    if not isinstance(given, Mapping):
        problems.unless(is_word(given), f"bluegreen_listen is {show(given)}; a text such as '80', or a dictionary with one for each named port is expected.")
        several = values["server"] and len(names) > 1
        problems.unless(not several, f"bluegreen_listen is {show(given)}; a dictionary is expected, with an entry for each of {', '.join(names)}.")
        given = dict.fromkeys(names[:1], given)
    found = {str(name): str(value) for name, value in given.items()}
    slots = {port: member for member in beside for port in member.ports.values()}
    users: dict[str, str] = {}
    for name, value in found.items():
        problems.unless(name in names, f"bluegreen_listen: no slot has a port named {show(name)}.")
        if not problems.unless(NGINX_WORDS.match(value) and value.strip(), f"bluegreen_listen is {show(value)}; nginx can listen on nothing like that."):
            continue
        first = users.setdefault(value.split()[0], name)
        problems.unless(first == name, f"bluegreen_listen: {show(value)} is used twice, for {first} and {name}; each needs its own.")
        address, number = _listen_address(value)
        problems.unless(number is None or 1 <= number <= 65535, f"bluegreen_listen: port {number} is out of range; a number from 1 to 65535 is expected.")
        slot = slots.get(number or 0)
        problems.unless(
            slot is None or not values["server"] or address not in ("", "*", "0.0.0.0", "[::]", slot.address),
            f"bluegreen_listen: port {number} is used twice, by nginx and by slot {slot.slot if slot else ''}; each needs its own.",
        )
    return found


def _listen_address(value: str) -> tuple[str, int | None]:
    """Address ('' for all) and port of nginx's listen parameters; the port is None for a unix socket, 80 if it is not there."""
    first = value.split()[0]
    if first.startswith("unix:"):
        return first, None
    if first.isdigit():
        return "", int(first)
    address, colon, port = first.rpartition(":")
    return (address, int(port)) if colon and port.isdigit() else (first, 80)


def adopted(values: Mapping[str, Any], members: Sequence[Member], problems: Problems) -> dict[str, str]:
    """Another's program for some slots. A host that only balances has none."""
    found = {str(slot): str(program) for slot, program in values["adopt"].items()}
    ours = {program_name(values["service"], member.slot) for member in members}
    for slot, program in found.items() if members else ():
        problems.unless(slot in {member.slot for member in members}, f"bluegreen_adopt: {show(slot)} is no slot of bluegreen_slots.")
        problems.unless(
            _PROGRAM.match(program) and program not in ours,
            f"bluegreen_adopt: {show(program)} for {slot} is not a program of yours; its name as supervisorctl status shows it is expected.",
        )
    problems.unless(len(set(found.values())) == len(found), "bluegreen_adopt names one program for two slots; each slot has a process of its own.")
    return found if members else {}
