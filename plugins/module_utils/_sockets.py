# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who listens on a port, and how many connections it has: from netlink or /proc/net/tcp, standard library only."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import FrozenSet, Iterable, Iterator, List, Set, Tuple

from . import _private, _processes, _sockdiag

_LISTEN = frozenset({0x0A})
# ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING: somebody still has something to say or to hear.
# TIME_WAIT (06) is over: counting it, as wait_for's state=drained does, a busy port never drains.
_BUSY = frozenset({0x01, 0x04, 0x05, 0x08, 0x09, 0x0B})
_ANY = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Socket:
    """One TCP socket; an IPv4 address mapped into IPv6 reads as IPv4. States are numbered as in /proc/net/tcp."""

    address: str
    port: int
    remote_address: str
    remote_port: int
    state: int
    inode: int


@dataclass(frozen=True)
class Listener:
    """Who holds a listening port: ``owner`` is ``own``, ``none`` or ``foreign``; ``others`` are pids outside the tree.

    ``foreign`` with no pid in ``others``: a socket whose owner we may not see.
    """

    owner: str
    others: Tuple[int, ...] = ()


def _address(packed: bytes) -> str:
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed)


def _packed(text: str) -> bytes:
    """An address of /proc/net/tcp, whose 32-bit words are in the host's byte order."""
    raw = bytes.fromhex(text)
    return b"".join(struct.pack(">I", word) for word in struct.unpack(f"={len(raw) // 4}I", raw))


def _table(states: FrozenSet[int]) -> Iterator[_sockdiag.Row]:
    """The same rows as :func:`_sockdiag.dump`, from /proc/net."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(name, encoding="ascii") as table:
                next(table, None)
                for columns in map(str.split, table):
                    if int(columns[3], 16) in states:
                        (address, port), (remote, remote_port) = columns[1].split(":"), columns[2].split(":")
                        yield _sockdiag.Row(_packed(address), int(port, 16), _packed(remote), int(remote_port, 16), int(columns[3], 16), int(columns[9]))
        except FileNotFoundError:  # a kernel without IPv6
            continue


def _rows(states: FrozenSet[int]) -> List[_sockdiag.Row]:
    try:
        return list(_sockdiag.dump(states))
    except OSError:
        return list(_table(states))


def sockets(ports: Iterable[int], states: FrozenSet[int]) -> List[Socket]:
    """All TCP sockets of this network namespace in one of ``states`` with one of ``ports`` at either end."""
    wanted = frozenset(ports)
    return [
        Socket(_address(row.address), row.port, _address(row.remote_address), row.remote_port, row.state, row.inode)
        for row in _rows(states)
        if row.port in wanted or row.remote_port in wanted
    ]


def _inodes(pid: int) -> Iterator[int]:
    """The socket inodes among the open files of ``pid``; nothing when it is gone or not ours to see."""
    return (int(target[8:-1]) for target in _private.files(pid) or () if target.startswith("socket:["))


def held(pids: Iterable[int]) -> Set[int]:
    """All socket inodes that the processes hold."""
    return {inode for pid in pids for inode in _inodes(pid)}


def _listening(port: int, address: str) -> Set[int]:
    """The inodes of LISTEN sockets that take connections to address:port."""
    return {s.inode for s in sockets([port], _LISTEN) if s.port == port and s.address in (address, *_ANY)}


def listener(port: int, address: str, own: FrozenSet[int]) -> Listener:
    """Who takes new connections to address:port, seen from the process tree ``own``.

    It is ``own`` only if the tree holds every LISTEN socket: an orphan of the old release, or a stranger with
    SO_REUSEPORT, has a socket of its own and would get a share of the requests. (Who inherited the tree's very socket
    was started by it; the stop waits for that one.) The tree is walked first: all of /proc takes 100 ms, and is looked
    through only for a socket that the tree does not hold.
    """
    inodes = _listening(port, address)
    if not inodes:
        return Listener("none")
    strangers = inodes - held(own)
    if not strangers:
        return Listener("own")
    return Listener("foreign", _holders(strangers, own))


def holding(pids: Iterable[int], port: int, address: str) -> FrozenSet[int]:
    """Those of the processes that have a LISTEN socket for address:port among their open files."""
    inodes = _listening(port, address)
    return frozenset(pid for pid in pids if not inodes.isdisjoint(_inodes(pid)))


def _holders(inodes: Set[int], known: FrozenSet[int]) -> Tuple[int, ...]:
    """The processes outside ``known`` that hold one of ``inodes``."""
    return tuple(sorted(pid for pid in _processes.parents() if pid not in known and not inodes.isdisjoint(_inodes(pid))))


def outgoing(places: Iterable[Tuple[str, int]], processes: FrozenSet[int]) -> int:
    """How many connections the processes have to these addresses and ports, wherever those are.

    Where a living one of them hides its files from us, every connection from this machine counts as its own: better to
    wait than to cut.
    """
    wanted = frozenset(places)
    table = [s for s in sockets({port for _other, port in wanted}, _BUSY) if (s.remote_address, s.remote_port) in wanted]
    if _hidden(processes):
        return len(table)
    mine = held(processes)
    return sum(s.inode in mine for s in table)


def incoming(ports: Iterable[int]) -> int:
    """How many connections from anywhere the ports of this machine have."""
    wanted = frozenset(ports)
    return sum(s.port in wanted for s in sockets(wanted, _BUSY))


def _hidden(processes: FrozenSet[int]) -> bool:
    return any(_private.files(pid) is None and _processes.start_time(pid) for pid in processes)


def listening_ports(pids: FrozenSet[int]) -> Set[int]:
    """The TCP ports that the processes listen on: for saying where a program went instead of its port."""
    mine = held(pids)
    return {row.port for row in _rows(_LISTEN) if row.inode in mine}
