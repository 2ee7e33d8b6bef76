"""Long connections when their member is replaced: its application is told, clients leave one after the other, and whoever is left is ended.

Who lets clients go is the application of examples/long-connections, so what users copy is what is tested.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import socket
import tarfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _goodbye, _stage
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Goodbye, Member
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.drivers.conftest import MakeFleet, MakeShop, next_service
from tests.drivers.shop import APPS, Asking, InProcess, Shop, altered, make_wish, new_ports, running, words
from tools.bed import PYTHON, ROOT, Bed, temporary, wait_until

Connect = Callable[[int], "Client"]
EXAMPLE = ROOT / "examples" / "long-connections" / "python"
SIGNAL = Goodbye(signal="USR2", window=1.0, timeout=20.0)
DEAF = Goodbye(path="/drain", window=0.5, timeout=1.5)  # for tests/apps/web.py, which answers 200 to anything and lets nobody go


class WideBed(Bed):
    """Room for two connections of each of a thousand clients, wherever they end up."""

    connections = 5000


@dataclass
class Chat(Shop):
    """The example as a service."""

    def stage(self, release: str, **environment: str) -> Wish:
        wish = replace(self.wish, release=release)
        archive = self.bed.path / "chat.tar"
        if not archive.exists():
            with tarfile.open(archive, "w") as tar:
                tar.add(EXAMPLE / "chat.py", "chat.py")
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        told = {"LEDGER": f"{self.bed.path}/{wish.service}.ledger", "BLUEGREEN_DRAIN_WINDOW": f"{wish.goodbye.window:g}", **environment}
        _stage.stage(wish, _stage.Source("chat.tar", f"sha256:{digest}", str(archive)), _stage.Build(), told)
        return wish

    @property
    def ledger(self) -> Counter[str]:
        return Counter(Path(f"{self.bed.path}/{self.wish.service}.ledger").read_text().splitlines())


def ended(shop: Shop, step: str, slot: str = "blue") -> Event:
    """How the step ended."""
    return next(told for told in events(shop, step, slot) if told.outcome != "waiting")


def waits(shop: Shop, step: str, slot: str = "blue") -> list[str]:
    """What the step said while it waited."""
    return [told.detail for told in events(shop, step, slot) if told.outcome == "waiting"]


def events(shop: Shop, step: str, slot: str) -> list[Event]:
    return [told for told in shop.told if isinstance(told, Event) and (told.step, told.member) == (step, shop.id(slot))]


def make_chat(bed: Bed, made: list[Chat], goodbye: Goodbye = SIGNAL) -> Chat:
    wish = make_wish(bed, next_service(), new_ports(), goodbye=goodbye, drain_timeout=0.5)
    made.append(chat := Chat(bed, altered(wish, program={"command": (PYTHON, "chat.py"), "stop_timeout": 15}, boot_timeout=30.0)))
    chat.released("v1")
    return chat


@pytest.fixture
def made() -> Iterator[list[Chat]]:
    chats: list[Chat] = []
    yield chats
    for one in chats:
        one.remove()


class Client:
    """A WebSocket by hand, which does only what it is told to."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        key = base64.b64encode(os.urandom(16)).decode()
        upgrade = ("Host: chat", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
        self.socket.sendall("\r\n".join(["GET /ws HTTP/1.1", *upgrade, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.socket.recv(4096)
        assert b" 101 " in answer.splitlines()[0] + b" ", answer

    def goodbye(self) -> int:
        """Wait for the server's goodbye, and say it back; its code. 0 if the connection was cut without one."""
        head = self.socket.recv(4)
        if len(head) < 4 or head[0] & 15 != 8:
            return 0
        self.socket.sendall(bytes([0x88, 0x82, 0, 0, 0, 0]) + head[2:4])
        return int.from_bytes(head[2:4], "big")

    def is_open(self) -> bool:
        self.socket.settimeout(0.01)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(20)


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens WebSockets that end with the test."""
    with contextlib.ExitStack() as stack:

        def make(port: int) -> Client:
            client = Client(port)
            stack.enter_context(client.socket)
            return client

        yield make


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """The file that lets a request for /hold be answered."""
    path = tmp_path / "go"
    yield path
    path.touch()


# Many clients


def result_of(folder: Path) -> dict[str, Any]:
    (folder / "end").touch()
    wait_until((folder / "result.json").exists, 60, "what the clients saw")
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


@pytest.mark.parametrize(
    ("clients", "window", "pause"), [(100, 5.0, 1.0), pytest.param(1000, 10.0, 2.0, marks=pytest.mark.full)], ids=["a hundred", "a thousand"]
)
def test_clients_leave_over_the_window_come_back_and_lose_no_acknowledged_message(
    clients: int, window: float, pause: float, made: list[Chat], tmp_path: Path
) -> None:
    with temporary(WideBed) as bed:
        chat = make_chat(bed, made, replace(SIGNAL, window=window, timeout=60.0))
        command = (PYTHON, str(APPS / "chatters.py"), f"ws://127.0.0.1:{chat.port}/ws", str(clients), str(pause), str(tmp_path))
        with running(*command, ready=lambda _pid: (tmp_path / "ready").exists(), seconds=60.0):
            done = chat.swap("v2")
            assert done.ok and done.reloads == 0, words(done, chat)
            seen = result_of(tmp_path)
        made.remove(chat)
        ledger = chat.ledger
    told, drained = ended(chat, "goodbye"), ended(chat, "drain")
    seconds = Counter(int(at - told.start) for at in seen["back"])
    print(f"{clients} clients: {len(seen['acknowledged'])} acknowledged, {sum(ledger.values())} written down; back by second {sorted(seconds.items())}")
    print(f"goodbye: {told.detail}; drain: {drained.detail}, {drained.seconds:.1f} s")
    assert told.detail.startswith("USR2 to pid") and told.detail.endswith(f"; {clients} connections, {window:g} s to leave")
    assert drained.outcome == "ok" and drained.detail.startswith(f"no connection left, {clients} left by themselves")
    assert not seen["cut"] and seen["codes"] == {"1012": clients}
    assert len(seen["back"]) == seen["connected"] == clients
    assert len(seen["acknowledged"]) >= 2 * clients
    assert not Counter(seen["acknowledged"]) - ledger, "a message was acknowledged and lost"
    assert max(seconds.values()) <= 3 * clients / window, "they came back like a herd"


# What is left


def test_an_application_that_lets_nobody_go_has_them_ended_when_their_time_is_over(make_shop: MakeShop, connect: Connect) -> None:
    shop = make_shop(goodbye=DEAF, drain_timeout=0.5).released("v1")
    stay = [connect(shop.port) for _ in range(3)]
    done = shop.swap("v2", seconds=0.3)
    assert done.ok, words(done, shop)
    drained = ended(shop, "drain")
    assert drained.outcome == "overtime" and drained.seconds >= 1.5
    assert drained.detail == "3 of 3 connections left after 1.5 s, 0 left by themselves; going on, they will be cut (bluegreen_on_drain_timeout is go_on)"
    assert set(waits(shop, "drain")) == {"3 of 3 connections left, of 1.5 s"}
    assert [one.goodbye() for one in stay] == [0] * 3, "the stop is when they hear of it"
    assert shop.releases() == {"blue": "v2", "green": "v2"}


def test_who_leaves_and_who_is_ended_are_counted_apart(bed: Bed, made: list[Chat], connect: Connect) -> None:
    chat = make_chat(bed, made, replace(SIGNAL, window=0.2, timeout=3.0))
    willing, stubborn = connect(chat.port), connect(chat.port)  # the second one never answers its goodbye, for which the example waits 5 s

    def leave() -> None:
        wait_until(lambda: waits(chat, "drain"), 20, "the drain's first look")
        willing.goodbye()

    with ThreadPoolExecutor(1) as beside:
        beside.submit(leave)
        done = chat.swap("v2", seconds=0.2)
    assert done.ok, words(done, chat)
    assert ended(chat, "drain").detail.startswith("1 of 2 connections left after 3 s, 1 left by themselves; going on")
    assert stubborn.goodbye() == 1012


def test_who_wants_nobody_cut_has_the_member_back_with_its_clients(make_shop: MakeShop, connect: Connect) -> None:
    shop = make_shop(goodbye=DEAF, drain_timeout=0.5, on_drain_timeout="stop").released("v1")
    stays, before = connect(shop.port), shop.pid("blue")
    done = shop.swap("v2")
    assert not done.ok
    assert "no connection from the balancer within bluegreen_long_drain_timeout (1.5 s)" in words(done, shop)
    assert "1 of 1 connection left after 1.5 s, 0 left by themselves" in words(done, shop)
    assert (shop.pid("blue"), shop.serving()) == (before, {"blue", "green"})
    assert stays.is_open()


# Who is not told


def test_a_request_that_is_not_understood_is_said_and_the_release_goes_on(make_shop: MakeShop, connect: Connect) -> None:
    shop = make_shop(goodbye=replace(DEAF, method="DELETE"), drain_timeout=0.5).released("v1")
    stays = connect(shop.port)
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    told = ended(shop, "goodbye")
    assert told.outcome == "overtime"
    asked = f"DELETE /drain on port {shop.wish.members[0].port}"
    assert told.detail == f"{asked} answers 501, 2xx is expected (bluegreen_drain_url); its connections have the time of the drain all the same"
    assert stays.goodbye() == 0


def test_a_signal_goes_to_nobody_who_would_end_by_it(make_shop: MakeShop, hold: Path) -> None:
    shop = make_shop(goodbye=SIGNAL).released("v1", HOLD=str(hold))
    asking = Asking(shop.port, "/hold", b"a POST, which nginx does not send to another member as well")
    wait_until(Path(f"{hold}.begun").exists, what="the request's arrival")
    shop.serve("green")
    before = shop.pid("blue")
    event = shop.do("blue", "goodbye").events[-1]
    assert event.outcome == "overtime" and "has no handler for bluegreen_drain_signal USR2, and could end by it" in event.detail
    assert shop.pid("blue") == before
    hold.touch()
    assert asking.reply().release == "v1"


def test_nobody_is_told_who_may_still_get_requests_or_has_no_connection_or_no_process(make_shop: MakeShop, connect: Connect) -> None:
    shop = make_shop(goodbye=DEAF).released("v1")
    stays = connect(shop.port)
    refused = shop.do("blue", "goodbye").failure
    assert refused and "still gets requests" in refused.seen
    assert stays.is_open()
    shop.serve("blue")
    wait_until(lambda: shop.state().slots["green"].connections + shop.state().slots["green"].others == 0, what="the end of its connections")
    assert [event.outcome for event in shop.do("green", "goodbye").events] == ["unchanged"]
    assert [event.outcome for event in shop.do("green", "stop", "goodbye").events] == ["ok", "unchanged"]


# Interrupted


def test_a_run_that_is_cut_off_during_the_goodbye_is_completed_by_running_again(bed: Bed, made: list[Chat], connect: Connect) -> None:
    chat = make_chat(bed, made, replace(SIGNAL, window=0.2, timeout=30.0))
    first, second = connect(chat.port), connect(chat.port)
    wish = chat.stage("v2")

    def proceed() -> None:
        if waits(chat, "drain"):
            raise _runner.Abandoned("the controller is gone")

    with pytest.raises(_runner.Abandoned):
        _runner.swap([wish], InProcess({wish.host: chat.client}, 0.2), chat.told.append, proceed=proceed)
    assert chat.releases() == {"blue": "v1", "green": "v2"}
    assert first.goodbye() == 1012  # it goes on saying goodbye without us; the second one has not answered yet
    chat.told.clear()
    with ThreadPoolExecutor(1) as beside:
        beside.submit(second.goodbye)
        done = chat.swap("v2")
    assert done.ok, words(done, chat)
    assert [event.step for event in done.events if event.member == chat.id("blue")][:2] in (["goodbye", "drain"], ["switch", "goodbye"])
    assert ended(chat, "drain").outcome == "ok"
    assert chat.releases() == {"blue": "v2", "green": "v2"}


# An event stream


def test_an_event_stream_ends_in_order_and_goes_on_with_the_next_event_elsewhere(bed: Bed, made: list[Chat]) -> None:
    chat = make_chat(bed, made, Goodbye(path="/drain", window=0.5, timeout=20.0))
    seen: list[str] = []
    stream = http.client.HTTPConnection("127.0.0.1", chat.port, timeout=20)
    stream.request("GET", "/events")
    answer = stream.getresponse()
    seen.append(answer.readline().decode())  # not held back by nginx
    reading = threading.Thread(target=lambda: seen.extend(line.decode() for line in answer))
    reading.start()
    done = chat.swap("v2")
    reading.join(20)
    assert done.ok, words(done, chat)
    assert answer.isclosed() and not answer.length, "it was cut in the middle of a chunk"
    assert ended(chat, "goodbye").detail.startswith("POST /drain on port")
    assert ended(chat, "drain").detail.startswith("no connection left, 1 left by themselves")
    last = [line.split()[1] for line in seen if line.startswith("id:")][-1]
    stream.request("GET", "/events", headers={"Last-Event-ID": last})
    again = stream.getresponse()
    lines = [again.readline().decode() for _ in range(4)]
    assert lines[2:] == [f"id: {int(last) + 1}\n", "data: v2\n"]
    stream.close()


# The request


class Asked(BaseHTTPRequestHandler):
    """Takes down what it is asked."""

    def do_POST(self) -> None:
        self.server.asked.append((self.path, dict(self.headers.items())))  # type: ignore[attr-defined]  # the test's own list
        self.send_response(202)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Asked) as here:
        here.asked = []  # type: ignore[attr-defined]  # the test's own list
        serving = threading.Thread(target=here.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield here
        here.shutdown()
        serving.join()


def at(wish: Wish, port: int) -> Member:
    return replace(wish.members[0], ports={"http": port})


def test_the_request_tells_the_seconds_and_takes_secrets_from_the_release_that_is_told(make_shop: MakeShop, server: HTTPServer) -> None:
    goodbye = Goodbye(path="/drain?why=release", headers={"Authorization": "Bearer $TOKEN", "X-Price": "$$5"}, window=7.5)
    shop = make_shop(goodbye=goodbye).released("v1", TOKEN="s3cr3t")
    wish = replace(shop.wish, release="v2")
    assert "s3cr3t" not in json.dumps(dump(wish))
    words = _goodbye.tell(wish, at(wish, server.server_port), shop.client, "", 0)
    ((path, headers),) = server.asked  # type: ignore[attr-defined]  # the test's own list
    assert path == "/drain?why=release&seconds=7.5"
    assert (headers["Authorization"], headers["X-Price"], headers["X-Drain-Seconds"]) == ("Bearer s3cr3t", "$5", "7.5")
    assert words == f"POST /drain?why=release on port {server.server_port} answers 202"
    unknown = replace(wish, goodbye=replace(goodbye, headers={"Authorization": "$NOBODY"}))
    with pytest.raises(_goodbye.Untold, match=r"refers to \$NOBODY, which is not in the environment of release v1"):
        _goodbye.tell(unknown, at(wish, server.server_port), shop.client, "", 0)


def test_who_does_not_answer_in_time_or_at_all_is_not_told(shop: Shop) -> None:
    wish = altered(shop.wish, goodbye=Goodbye(path="/drain"), health={"timeout": 0.2})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        member = at(wish, silent.getsockname()[1])
        with pytest.raises(_goodbye.Untold, match=r"no answer within bluegreen_health_timeout \(0.2 s\)"):
            _goodbye.tell(wish, member, shop.client, "", 0)
    with pytest.raises(_goodbye.Untold, match=r"no answer: .*refused"):
        _goodbye.tell(wish, member, shop.client, "", 0)


# Several balancers


def test_each_balancer_counts_who_was_there_before_the_application_was_told(fleet_of: MakeFleet) -> None:
    fleet = fleet_of("blue", balancers=2, goodbye=SIGNAL)
    fleet.install()
    member = fleet.member("blue")
    with fleet.answering("blue"), contextlib.ExitStack() as stack:
        for balancer in fleet.balancers.values():
            balancer.wish = replace(balancer.wish, min_serving=0)
        stay = [stack.enter_context(Client(fleet.lb.port).socket) for _ in range(2)]
        switched = fleet.do(fleet.step("switch", "blue"))
        assert switched.found == {"drain": {"there": {member.id: 2}}}
        assert fleet.do(fleet.step("switch", "blue", on="lb2")).found == {"drain": {"there": {member.id: 0}}}
        for one in stay:
            one.close()
        drained = fleet.do(fleet.step("drain", "blue", seconds=20.0, resume=switched.found["drain"]))
        assert drained.events[-1].detail == "no connection left, 2 left by themselves"
