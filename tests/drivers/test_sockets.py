"""Who listens on a port and how many connections it has, with real processes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _declare, _nginx, _processes, _sockets

from tests.drivers.shop import PYTHON, Asking, Shop, free_ports, running, web
from tools.bed import wait_until

LISTEN, TIME_WAIT, BUSY = frozenset({10}), frozenset({6}), _sockets._BUSY


def owner(port: int, pid: int, address: str = "127.0.0.1") -> _sockets.Listener:
    return _sockets.listener(port, address, _processes.tree(pid))


def test_nobody_listens() -> None:
    (port,) = free_ports(1)
    assert owner(port, os.getpid()) == _sockets.Listener("none")


def test_the_programs_own_process_listens() -> None:
    (port,) = free_ports(1)
    with web(port) as process:
        assert owner(port, process.pid) == _sockets.Listener("own")


def test_a_child_of_the_program_listens_and_not_itself() -> None:
    (port,) = free_ports(1)
    with web(port, LISTEN="child") as process:
        assert owner(port, process.pid) == _sockets.Listener("own")
        assert not set(_sockets.held([process.pid])) & _sockets._listening(port, "127.0.0.1"), "the child alone has the socket"


def test_a_listener_on_the_ipv6_wildcard_takes_ipv4_connections_too() -> None:
    (port,) = free_ports(1)
    with web(port, LISTEN="ipv6") as process:
        assert owner(port, process.pid) == _sockets.Listener("own")
        assert owner(port, os.getpid()).owner == "own", "the test is the parent: its tree holds it, too"
        assert _sockets.listener(port, "127.0.0.1", frozenset([os.getpid()])) == _sockets.Listener("foreign", (process.pid,))


def test_another_address_is_another_listener() -> None:
    (port,) = free_ports(1)
    with socket.create_server(("127.0.0.2", port)):
        assert owner(port, os.getpid()).owner == "none"
        assert owner(port, os.getpid(), "127.0.0.2").owner == "own"


def test_an_orphan_on_the_port_is_foreign_and_named() -> None:
    (port,) = free_ports(1)
    with web(port) as orphan, running(PYTHON, "-c", "import time; time.sleep(60)") as program:
        assert owner(port, program.pid) == _sockets.Listener("foreign", (orphan.pid,))


def test_a_foreign_process_that_shares_the_port_is_found_beside_the_own() -> None:
    (port,) = free_ports(1)
    with web(port, LISTEN="shared") as own, web(port, LISTEN="shared") as stranger:
        assert owner(port, own.pid) == _sockets.Listener("foreign", (stranger.pid,))
        stranger.kill()
        wait_until(lambda: owner(port, own.pid).owner == "own", what="the stranger's end")


def test_the_ports_of_a_program_are_known_wherever_it_went() -> None:
    ports = free_ports(2)
    with web(ports[0]) as one, web(ports[1], LISTEN="ipv6") as other:
        assert _sockets.listening_ports(frozenset([one.pid, other.pid])) == set(ports)
        assert _sockets.listening_ports(_processes.tree(one.pid)) == {ports[0]}


def counts(port: int, processes: frozenset[int]) -> tuple[int, int]:
    """The connections to a port of this machine: these processes' own, and the others."""
    mine = _sockets.outgoing([("127.0.0.1", port)], processes)
    return mine, _sockets.incoming([port]) - mine


def test_connections_of_the_balancer_are_told_from_others(shop: Shop, tmp_path: Path) -> None:
    hold = tmp_path / "go"
    port = shop.wish.member("blue").port
    _declare.declare(shop.wish)
    nginx = _nginx.processes(shop.wish.nginx)

    def count() -> tuple[int, int]:
        return counts(port, nginx)

    with web(port, HOLD=str(hold)):
        assert count() == (0, 0)
        asking = [Asking(shop.port, "/hold") for _ in range(3)]
        wait_until(lambda: count() == (3, 0), what="three connections from nginx")
        with socket.create_connection(("127.0.0.1", port)):
            assert count() == (3, 1)
            hold.touch()
            assert [one.reply().status for one in asking] == [200, 200, 200]
            wait_until(lambda: count() == (0, 1), what="nginx's idle connections to be closed")
        wait_until(lambda: count() == (0, 0), what="the other's end")


def test_connections_that_are_over_are_not_counted() -> None:
    """TIME_WAIT: on a busy port there are always some, and a drain that counted them would never end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        served, _ = server.accept()
        assert counts(port, frozenset()) == (0, 1)
        served.close()
        assert counts(port, frozenset()) == (0, 1), "FIN_WAIT2: the client may still have something to say"
        client.close()
        wait_until(lambda: [s.state for s in _sockets.sockets([port], TIME_WAIT | BUSY)] == [6], what="TIME_WAIT alone")
        assert counts(port, frozenset()) == (0, 0)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_socket_of_the_kernels_table_is_read(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
        (found,) = _sockets.sockets([port], LISTEN)
        assert (found.address, found.port, found.remote_port) == (address, port, 0)
        assert found.inode == os.fstat(server.fileno()).st_ino


def as_a_stranger(holds: Callable[[], bool]) -> bool:
    """Whether it holds for a user who may not look at root's processes."""
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        os._exit(0 if holds() else 1)
    return os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 0


def test_a_balancer_whose_files_are_hidden_makes_every_connection_its_own() -> None:
    hidden = os.getpid() if os.geteuid() == 0 else 1
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert as_a_stranger(lambda: counts(port, frozenset([hidden])) == (1, 0)), "rather wait than cut"


def test_a_worker_that_is_gone_hides_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            with running(PYTHON, "-c", "import time; time.sleep(60)") as gone:
                pass
            assert counts(port, frozenset([gone.pid])) == (0, 1)
