"""The kernel's sockets over netlink are those of /proc/net/tcp, and where netlink is refused, those are read."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _sockdiag, _sockets

LISTENING, ESTABLISHED, CLOSE_WAIT = 0x0A, 0x01, 0x08
NO_SUCH_PROTOCOL = 31  # the kernel knows netlink protocols up to 22


@dataclass
class Lines:
    """A listener of IPv4, one of both families, and for each a client that is connected; one client has hung up."""

    plain: socket.socket
    dual: socket.socket
    open: list[socket.socket]

    @property
    def ports(self) -> tuple[int, int]:
        return self.plain.getsockname()[1], self.dual.getsockname()[1]

    def mine(self, rows: list[_sockdiag.Row]) -> set[_sockdiag.Row]:
        return {row for row in rows if {row.port, row.remote_port} & set(self.ports)}


@pytest.fixture
def lines() -> Iterator[Lines]:
    plain = socket.create_server(("127.0.0.1", 0))
    dual = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    made = Lines(plain, dual, [])
    for listener in (plain, dual):
        made.open += [socket.create_connection(("127.0.0.1", listener.getsockname()[1])), listener.accept()[0]]
    gone = socket.create_connection(plain.getsockname())
    half = plain.accept()[0]
    gone.shutdown(socket.SHUT_WR)
    half.recv(1)  # the end of the other side has come: CLOSE_WAIT
    made.open += [gone, half]
    yield made
    for one in (*made.open, plain, dual):
        one.close()


@pytest.mark.parametrize("states", [{LISTENING}, {ESTABLISHED}, {CLOSE_WAIT}, {LISTENING, ESTABLISHED, CLOSE_WAIT}])
def test_netlink_and_proc_tell_of_the_same_sockets(lines: Lines, states: set[int]) -> None:
    over_netlink = lines.mine(list(_sockdiag.dump(states)))

    assert over_netlink == lines.mine(list(_sockets._table(frozenset(states))))
    assert {row.state for row in over_netlink} == states


def test_a_row_names_the_socket_that_the_process_holds(lines: Lines) -> None:
    client = lines.open[0]
    address, port = client.getsockname()

    found = [row for row in _sockdiag.dump({ESTABLISHED}) if row.port == port]

    assert [(socket.inet_ntop(socket.AF_INET, row.address), row.remote_port, row.inode) for row in found] == [
        (address, lines.ports[0], os.fstat(client.fileno()).st_ino)
    ]


def test_a_client_of_ipv4_at_a_listener_of_both_families_reads_as_ipv4(lines: Lines) -> None:
    ends = _sockets.sockets([lines.ports[1]], frozenset({ESTABLISHED}))

    assert {(end.address, end.remote_address) for end in ends} == {("127.0.0.1", "127.0.0.1")}


@pytest.mark.parametrize("protocol", [_sockdiag._NETLINK_SOCK_DIAG, NO_SUCH_PROTOCOL])
def test_listeners_and_connections_are_found_with_netlink_and_without(lines: Lines, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    monkeypatch.setattr(_sockdiag, "_NETLINK_SOCK_DIAG", protocol)
    own = frozenset({os.getpid()})

    assert [_sockets.listener(port, "127.0.0.1", own).owner for port in lines.ports] == ["own", "own"]
    assert [_sockets.outgoing([("127.0.0.1", port)], own) for port in lines.ports] == [2, 1]
    assert [_sockets.incoming([port]) for port in lines.ports] == [2, 1]
    assert set(lines.ports) <= _sockets.listening_ports(own)


def test_a_kernel_that_refuses_is_an_error_and_no_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sockdiag, "_NETLINK_SOCK_DIAG", NO_SUCH_PROTOCOL)

    with pytest.raises(OSError):
        list(_sockdiag.dump({LISTENING}))


def test_a_request_that_the_kernel_does_not_know_is_an_error_and_no_empty_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sockdiag, "_SOCK_DIAG_BY_FAMILY", 19)

    with pytest.raises(OSError):
        list(_sockdiag.dump({LISTENING}))
