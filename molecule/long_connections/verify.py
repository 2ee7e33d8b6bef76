"""What WebSockets through a balancer must show while both of its app hosts are released. In this order."""

from __future__ import annotations

import re

import pytest
from scene import Scene

from tools.probe import Kind, Probe

CLIENTS = 20


def _clients(scene: Scene) -> Probe:
    """People who are connected all the time, and requests beside them."""
    url, headers = f"{scene.fleet['lb1'].address}", {"Host": "shop.test"}
    chat = Kind(
        "chat", f"ws://{url}/ws", type="websocket", headers=headers, connections=CLIENTS, rate=1.0, timeout=40.0, send="hello", expect_body='"bytes": 5'
    )
    return Probe("long", [chat, Kind("get", f"http://{url}/", headers=headers, rate=10.0, timeout=40.0)], {"json": "release"})


def _drained(output: str) -> list[int]:
    """How many clients left each member by themselves."""
    return [int(number) for number in re.findall(r"  drain   done, .*: no connection left, (\d+) left by themselves", output)]


def test_every_client_is_let_go_before_its_server_is_stopped_and_none_is_cut(scene: Scene) -> None:
    with _clients(scene) as probe:
        done = scene.release("v2").good()
    scene.whole("v2")
    sockets = probe.result["sockets"]
    print(f"    {probe.result['due']} due, {probe.result['failed']} failed; {sockets}; left by themselves: {_drained(done.output)}")
    assert probe.result["failed"] == 0 and sockets["cut"] == 0, probe.result["failures"][:5]
    told = re.findall(r"app\d/main  goodbye done, .*: USR2 to pid \d+; (\d+) connections?, 4 s to leave", done.output)
    assert len(told) == len(_drained(done.output)) == 2
    assert sum(_drained(done.output)) >= sockets["announced"] >= CLIENTS, "each client was on one of the two members, at least"


@pytest.mark.full
def test_an_application_that_lets_nobody_go_has_them_cut_when_their_time_is_over(scene: Scene) -> None:
    scene.release("v3", environment={"DEAF": "1"}).good()
    with _clients(scene) as probe:
        done = scene.release("v4", long_drain_timeout=5, drain_timeout=5).good()
    scene.whole("v4")
    print(f"    {probe.result['sockets']}")
    done.says("drain TIME OVER", "left by themselves; going on, they will be cut")
    assert probe.result["sockets"]["cut"] >= CLIENTS
