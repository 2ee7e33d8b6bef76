"""The user's kinds of requests: each broken rule is one sentence that names what is wrong, and nothing secret is repeated."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Settings, dumps, loads
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _probe_rules, _probing, _variables, _wish

GIVEN = {"bluegreen_service": "shop", "bluegreen_release": "v1", "bluegreen_command": "bin/x", "bluegreen_source": {"directory": "x"}}
URL = "http://shop.example:8080/base/"


def probe(*kinds: Any, **more: Any) -> Settings | None:
    given = {**GIVEN, "bluegreen_probe": list(kinds), "bluegreen_probe_url": URL, **{f"bluegreen_{name}": value for name, value in more.items()}}
    found: Settings | None = _wish.resolve(_variables.collect(given, lambda value: value), "app1").rollout.probe
    return found


def one(**entry: Any) -> dict[str, Any]:
    return {"name": "front", **entry}


def test_without_a_kind_there_is_no_probe() -> None:
    assert probe() is None


def test_a_kind_needs_a_name_alone() -> None:
    settings = probe(one())

    assert settings is not None
    (kind,) = settings.kinds
    assert (kind.url, kind.method, kind.statuses, kind.rate, kind.timeout, kind.connections, kind.keep) == (URL, "GET", (200,), 10.0, 10.0, 8, True)
    assert (settings.release, settings.limit, settings.down) == ({"header": "X-Release"}, 3600.0, "refuse")


def test_everything_that_is_given_arrives() -> None:
    given = one(
        method="POST",
        path="/orders?x=1",
        headers={"Authorization": "Bearer t", "X-Number": 5},
        body="{}",
        body_seconds=20,
        status=[201, 202],
        expect_body="ok",
        expect_json={"a.b": 1},
        expect_header={"X-Slot": "blue"},
        connection="new",
        connections=3,
        rate=0.5,
        verify="/etc/ca.pem",
    )
    settings = probe(given, probe_release={"json": "app.release"}, probe_limit=60, probe_down="allow", probe_on="app1")

    assert settings is not None
    (kind,) = settings.kinds
    assert kind.url == f"{URL}orders?x=1"
    assert kind.headers == {"Authorization": "Bearer t", "X-Number": "5"}
    assert (kind.statuses, kind.keep, kind.timeout, kind.verify) == ((201, 202), False, 30.0, "/etc/ca.pem")
    assert (settings.release, settings.limit, settings.down) == ({"json": "app.release"}, 60.0, "allow")
    assert loads(dumps(settings)) == settings


def test_a_websocket_has_the_scheme_of_one() -> None:
    settings = probe(one(type="websocket", path="/ws", send="ping"), {"name": "other", "type": "websocket", "url": "wss://chat.example/ws"})

    assert settings is not None
    assert [kind.url for kind in settings.kinds] == ["ws://shop.example:8080/base/ws", "wss://chat.example/ws"]
    assert settings.kinds[0].connections == 2


def test_what_may_be_secret_is_in_no_representation() -> None:
    settings = probe(one(headers={"Authorization": "Bearer s3cret"}, body="s3cret"))

    assert "s3cret" not in repr(settings)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "unknown kind": (one(type="ftp"), "bluegreen_probe, entry 1: type is 'ftp'; one of http, websocket is expected."),
    "unknown key": (one(rat=5), "bluegreen_probe, entry 1: rat is no key of it; did you mean rate?"),
    "no name": ({"path": "/"}, "bluegreen_probe, entry 1: name is ''; up to 60 printable letters are expected."),
    "negative rate": (one(rate=-1), "bluegreen_probe, entry 1 (front): rate is -1; a positive number, 5000 at most, is expected."),
    "rate of nothing": (one(rate=0), "rate is 0; a positive number, 5000 at most, is expected."),
    "rate without end": (one(rate="inf"), "rate is inf; a positive number"),
    "no timeout": (one(timeout=0), "timeout is 0; a positive number, 600 at most, is expected."),
    "no connection": (one(connections=0), "connections is 0; a positive number, 500 at most, is expected."),
    "url without scheme": (one(url="shop.example/x"), "entry 1 (front): url begins with no scheme; http, https are expected, such as http://shop.example."),
    "url without host": (one(url="http:///x"), "url is no URL with a host"),
    "url with a port that is none": (one(url="http://shop.example:http/"), "url has a host or port that is none."),
    "url with a password": (one(url="http://me:s3cret@shop.example/"), "has a user or password in it"),
    "url of a websocket": (one(url="ws://shop.example/"), "url begins with no scheme"),
    "both": (one(url="http://shop.example/", path="/"), "has both path and url; one of them is expected."),
    "path without slash": (one(path="x"), "path is no path that begins with a slash"),
    "method": (one(method="get"), "method is 'get'; one in capital letters, such as GET, is expected."),
    "header": (one(headers={"X Y": "s3cret"}), "headers: 'X Y' is no name of an HTTP header."),
    "header of two lines": (one(headers={"X": "s3cret\r\nY: 1"}), "headers: the value of 'X' must be one line of ASCII."),
    "status": (one(status=99), "status is 99; an HTTP status from 100 to 599 is expected."),
    "slow without a body": (one(body_seconds=5), "body_seconds is 5, and there is no body."),
    "slower than its timeout": (one(body="x", body_seconds=20, timeout=10), "timeout is 10, and the body alone takes 20 s (body_seconds); make it longer."),
    "send over http": (one(send="x"), "send goes with type websocket, not with http."),
    "method of a websocket": (one(type="websocket", method="POST"), "method goes with type http, not with websocket."),
    "verify": (one(verify="ca.pem"), "verify is 'ca.pem'; true, false or the absolute path of a file of authorities is expected."),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_kind_is_said(name: str) -> None:
    entry, sentence = BAD[name]

    with pytest.raises(Refusal) as refused:
        probe(entry)

    assert sentence in str(refused.value)
    assert str(refused.value).count("\n") == 0
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"probe_url": "shop.example"}, "bluegreen_probe_url begins with no scheme; http, https are expected, such as http://shop.example."),
        ({"probe_url": ""}, "bluegreen_probe, entry 1 (front) has no url, and bluegreen_probe_url is not set; such as http://shop.example is expected there."),
        ({"probe_limit": -1}, "bluegreen_probe_limit is -1; a positive number of seconds, 86400 at most, is expected."),
        ({"probe_release": {"header": "X", "json": "y"}}, "bluegreen_probe_release has header and json; header: and a name, or json:"),
        ({"probe_release": {"cookie": "X"}}, "bluegreen_probe_release has cookie; header: and a name, or json: and a dotted path, is expected."),
        ({"probe_down": "maybe"}, "bluegreen_probe_down is 'maybe'; one of refuse, allow is expected."),
    ],
)
def test_what_is_wrong_beside_the_kinds_is_said(more: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal) as refused:
        probe(one(), **more)

    assert sentence in str(refused.value)


def test_two_kinds_have_two_names_and_all_of_them_are_not_too_many() -> None:
    with pytest.raises(Refusal, match=r"bluegreen_probe has 'front' more than once; each kind needs a name of its own\."):
        probe(one(), one(path="/x"))
    with pytest.raises(Refusal, match=r"bluegreen_probe has 1500 connections in all; 1000 at most are expected\."):
        probe(*({"name": str(number), "connections": 500} for number in range(3)))


def test_a_task_of_the_users_own_is_told_of_its_own_options() -> None:
    from ansible_collections.hotswap.bluegreen.plugins.action.probe import _own_settings

    with pytest.raises(Refusal, match=r"kinds, entry 1 \(front\): rate is -1.*\nkinds, entry 1 \(front\) has no url, and url is not set"):
        _own_settings({"kinds": [one(rate=-1)]})
    with pytest.raises(Refusal, match=r"kinds is empty; a list of kinds of requests is expected\."):
        _own_settings({})
    assert [kind.url for kind in _own_settings({"kinds": [one()], "url": "http://shop.example"}).kinds] == ["http://shop.example/"]


def test_where_a_probe_cannot_run_is_said_before_anything_starts() -> None:
    settings = probe(one())

    assert _probing.lacking(None, "nobody", {"hostvars": {}}) == ""
    assert _probing.lacking(settings, _probe_rules.CONTROLLER, {"hostvars": {}}) == ""
    assert _probing.lacking(settings, "app1", {"hostvars": {"app1": {}}}) == ""
    assert _probing.lacking(settings, "ap1", {"hostvars": {}}) == "bluegreen_probe_on is 'ap1', which is neither controller nor a host of the inventory."


def test_a_library_that_is_missing_is_named_as_apt_and_pip_know_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe import _socket

    monkeypatch.setattr(_socket, "HAS_LIBRARY", False)

    told = _probing.lacking(probe(one(type="websocket")), "controller", {"hostvars": {}})

    assert "websocket-client (apt: python3-websocket, pip: websocket-client)" in told
    assert "requests" not in told


def test_the_summary_says_what_happened() -> None:
    result = {
        "due": 1200,
        "answered": 1197,
        "failed": 3,
        "open": 0,
        "by_release": {"v1": 700, "v2": 497},
        "by_class": {"refused": 2, "reset": 1},
        "latency": {"p50": 0.002, "p95": 0.01, "p99": 1.5, "max": 2.0},
        "late": {"requests": 4, "seconds": 0.25, "why": "machine"},
        "sockets": {"opened": 4, "announced": 2, "cut": 0, "slowest_back": 0.05},
        "failures": [{"kind": "front", "class": "reset", "detail": "the connection was reset", "release": "v1"}],
    }

    assert _probing.summary(result) == [
        "probe: 1,200 requests due, 1,197 answered (v1 700, v2 497), 3 failed (2 refused, 1 reset); p50 2 ms, p95 10 ms, p99 1.50 s, max 2.00 s",
        "probe: 4 WebSockets opened, 2 closed as announced, 0 cut, slowest back after 0.05 s",
        "probe: 4 requests were sent later than they were due, by 0.25 s at most: the machine of the probe was too slow",
        "probe: 1 × front: reset: the connection was reset (v1)",
    ]
    assert _probing.summary({}) == ["probe: it counted nothing"]
