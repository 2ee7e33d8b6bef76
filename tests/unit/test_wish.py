"""Wrong variables fail by name, in one sentence that says what is there and what is expected; right ones become the wish."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _rules, _topology, _values, _variables, _wish

MINIMAL: dict[str, Any] = {"service": "shop", "release": "1.4.2", "command": "bin/server", "source": {"directory": "src"}}
ABSENT = object()
LONG = "x" * 200
DIGEST = "sha256:" + "a" * 64


def resolve(role: str = "release", **given: Any) -> _wish.Resolved:
    """The wish of a host whose variables are the four that everybody sets, and ``given``."""
    values = {f"bluegreen_{name}": value for name, value in {**MINIMAL, **given}.items() if value is not ABSENT}
    return _wish.resolve(_variables.collect(values, lambda value: value, role), "app1")


def sentences(role: str = "release", **given: Any) -> list[str]:
    with pytest.raises(Refusal) as refused:
        resolve(role, **given)
    return str(refused.value).splitlines()


def slots(*entries: dict[str, Any]) -> list[dict[str, Any]]:
    return list(entries)


def blue(**more: Any) -> dict[str, Any]:
    return {"name": "blue", "port": 9502, **more}


def green(**more: Any) -> dict[str, Any]:
    return {"name": "green", "port": 9503, **more}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    # unknown or missing
    "unknown variable": ({"srvice": "shop"}, "bluegreen_srvice is no variable of hotswap.bluegreen; did you mean bluegreen_service?"),
    "unknown and like none": ({"qqq": 1}, "bluegreen_qqq is no variable of hotswap.bluegreen; see its docs/variables.md."),
    "missing service": ({"service": ABSENT}, "bluegreen_service is not set and has no default: "),
    "missing release": ({"release": ABSENT}, "bluegreen_release is not set and has no default: "),
    "missing command": ({"command": ABSENT}, "bluegreen_command is not set and has no default: "),
    "missing source": ({"source": ABSENT}, "bluegreen_source is not set and has no default: "),
    "empty in YAML": ({"service": None}, "bluegreen_service is not set and has no default: "),
    "source of neither": ({"source": {}}, "bluegreen_source has neither archive nor git nor directory; one of archive, git, directory is expected."),
    "source of both": (
        {"source": {"archive": "a", "directory": "b"}},
        "bluegreen_source has archive and directory; one of archive, git, directory is expected.",
    ),
    "unknown key of the source": ({"source": {"archve": "a"}}, "bluegreen_source: archve is no key of it; did you mean archive?"),
    "unknown key of a slot": (
        {"slots": slots(blue(colour=1), green())},
        "bluegreen_slots, entry 1: colour is no key of it; known are address, backup, name, port, ports, weight.",
    ),
    # ports
    "port used twice": (
        {"slots": slots(blue(port=9503), green())},
        "bluegreen_slots: port 9503 is used twice, by blue (http) and green (http); each needs its own.",
    ),
    "port used twice in a slot": (
        {"slots": slots({"name": "blue", "ports": {"http": 1000, "ws": 1000}}), "min_serving": 0, "listen": {"http": "80", "ws": "81"}},
        "bluegreen_slots: port 1000 is used twice, by blue (http) and blue (ws); each needs its own.",
    ),
    "port 0": ({"slots": slots(blue(port=0), green())}, "bluegreen_slots: port 0 of blue is out of range; a number from 1 to 65535 is expected."),
    "port 65536": ({"slots": slots(blue(port=65536), green())}, "bluegreen_slots: port 65536 of blue is out of range; a number from 1 to 65535 is expected."),
    "port -1": ({"slots": slots(blue(port=-1), green())}, "bluegreen_slots: port -1 of blue is out of range; "),
    "port of letters": ({"slots": slots(blue(port="http"), green())}, "bluegreen_slots: port 'http' of blue is out of range; "),
    "port true": ({"slots": slots(blue(port=True), green())}, "bluegreen_slots: port true of blue is out of range; "),
    "port and ports": ({"slots": slots(blue(ports={"ws": 1}), green())}, "bluegreen_slots: blue has both port and ports; one of them is expected."),
    "no port": ({"slots": slots({"name": "blue"}, green())}, "bluegreen_slots: blue has neither port nor ports; one of them is expected."),
    "ports no dictionary": ({"slots": slots({"name": "blue", "ports": [1]}, green())}, "bluegreen_slots, entry 1: ports is a list; a dictionary is expected."),
    "other ports in each slot": (
        {"slots": slots({"name": "blue", "ports": {"http": 1, "ws": 2}}, {"name": "green", "ports": {"http": 3}}), "listen": {"http": "80"}},
        "bluegreen_slots: every slot needs the same names of ports in the same order; seen: http and http, ws.",
    ),
    "name of a port": (
        {"slots": slots({"name": "blue", "ports": {"a b": 1}}), "min_serving": 0},
        "bluegreen_slots: 'a b' of blue is no name of a port (http, ws, rpc, …).",
    ),
    "port of nginx and of a slot": (
        {"slots": slots(blue(), green()), "listen": "127.0.0.1:9502"},
        "bluegreen_listen: port 9502 is used twice, by nginx and by slot blue; each needs its own.",
    ),
    "port of nginx out of range": ({"listen": "0.0.0.0:99999"}, "bluegreen_listen: port 99999 is out of range; a number from 1 to 65535 is expected."),
    "port of nginx twice": (
        {"slots": slots({"name": "blue", "ports": {"http": 1, "ws": 2}}), "min_serving": 0, "listen": {"http": "80", "ws": "80"}},
        "bluegreen_listen: '80' is used twice, for http and ws; each needs its own.",
    ),
    "listen on one of several": (
        {"slots": slots({"name": "blue", "ports": {"http": 1, "ws": 2}}), "min_serving": 0},
        "bluegreen_listen is '80'; a dictionary is expected, with an entry for each of http, ws.",
    ),
    "listen for nobody": ({"listen": {"rpc": "80"}}, "bluegreen_listen: no slot has a port named 'rpc'."),
    "listen on more than it says": ({"listen": "80; include /x"}, "bluegreen_listen is '80; include /x'; nginx can listen on nothing like that."),
    "tcp behind the balancer": (
        {"slots": slots({"name": "blue", "ports": {"rpc": 1}}), "min_serving": 0, "protocols": {"rpc": "tcp"}},
        "bluegreen_protocols: port 'rpc' is 'tcp'; the balancer's switch works for http (and WebSocket) only, so it cannot be behind it. "
        "Take it out of bluegreen_slots.",
    ),
    "protocol of nobody": ({"protocols": {"rpc": "http"}}, "bluegreen_protocols: no slot has a port named 'rpc'."),
    # slots
    "slot without a name": ({"slots": slots({"port": 1}, green())}, "bluegreen_slots: slot 1 has no name."),
    "slot with an empty name": ({"slots": slots(blue(name=""), green())}, "bluegreen_slots: slot 1 has no name."),
    "two slots of one name": ({"slots": slots(blue(), green(name="blue"))}, "bluegreen_slots: 2 slots are named blue; each needs a name of its own."),
    "name of a slot": ({"slots": slots(blue(name="Blue-1"), green())}, "bluegreen_slots: slot 1 is named 'Blue-1'; "),
    "reserved name of a slot": ({"slots": slots(blue(), green(name="releases"))}, "bluegreen_slots: slot 2 is named 'releases'; "),
    "only backups": ({"slots": slots(blue(backup=True), green(backup=True))}, "bluegreen_slots: every slot is a backup; one must not be."),
    "a single slot": (
        {"slots": slots(blue())},
        "bluegreen_slots has 1 slot and bluegreen_min_serving is 1: none could be swapped without downtime. "
        "Add a slot, or accept the downtime with bluegreen_min_serving: 0.",
    ),
    "all must serve": ({"min_serving": 2}, "bluegreen_slots has 2 slots and bluegreen_min_serving is 2: none could be swapped without downtime. "),
    "no slot": ({"slots": []}, "bluegreen_slots is empty; a service needs at least one slot."),
    "slots as text": ({"slots": "blue"}, "bluegreen_slots is a text; a list is expected."),
    "slots as dictionary": ({"slots": {"blue": 1}}, "bluegreen_slots is a dictionary; a list is expected."),
    "slot as text": ({"slots": ["blue", green()]}, "bluegreen_slots, entry 1 is a text; a dictionary is expected."),
    "address": ({"slots": slots(blue(address="app.test"), green())}, "bluegreen_slots: the address of blue is 'app.test'; an IPv4 address such as "),
    "address of everybody": ({"slots": slots(blue(address="0.0.0.0"), green())}, "bluegreen_slots: the address of blue is '0.0.0.0'; "),
    "weight 0": ({"slots": slots(blue(weight=0), green())}, "bluegreen_slots: the weight of blue is 0; 1 or more is expected."),
    "weight of letters": ({"slots": slots(blue(weight="x"), green())}, "bluegreen_slots, entry 1: weight is 'x'; a whole number is expected."),
    # names
    "service climbs": (
        {"service": "../x"},
        "bluegreen_service is '../x'; a lower-case letter and up to 31 lower-case letters, digits and hyphens are expected.",
    ),
    "service empty": ({"service": ""}, "bluegreen_service is not set and has no default: "),
    "service of 200": ({"service": LONG}, f"bluegreen_service is '{LONG[:40]}'… (200 characters); a lower-case letter and up to 31 "),
    "service with a new line": ({"service": "shop\n"}, "bluegreen_service is 'shop\\n'; "),
    "release climbs": ({"release": "../x"}, "bluegreen_release is '../x'; a letter or digit and up to 127 letters, digits and . _ + - are expected."),
    "release empty": ({"release": ""}, "bluegreen_release is not set and has no default: "),
    "release of 200": ({"release": LONG}, f"bluegreen_release is '{LONG[:40]}'… (200 characters); a letter or digit and up to 127 "),
    "release with a new line": ({"release": "v1\n"}, "bluegreen_release is 'v1\\n'; "),
    "release of the collection": ({"release": "current"}, "bluegreen_release is 'current', which the collection keeps for itself; choose another name."),
    "release that YAML has cut": ({"release": 1.10}, "bluegreen_release is 1.1; YAML may have cut it (1.10 is read as 1.1): put it in quotes."),
    "release that is no text": ({"release": True}, "bluegreen_release is true; a text is expected (in quotes, if YAML takes it for something else)."),
    "user": ({"user": "a b"}, "bluegreen_user is 'a b', which is no user name."),
    # source
    "checksum of nothing": (
        {"source": {"archive": "a", "checksum": "abc"}},
        "bluegreen_source: checksum is 'abc'; sha256:, sha384: or sha512: and the digest in hexadecimal are expected.",
    ),
    "checksum that is weak": ({"source": {"archive": "a", "checksum": "md5:abc"}}, "bluegreen_source: checksum is 'md5:abc'; "),
    "checksum of a directory": (
        {"source": {"directory": "a", "checksum": DIGEST}},
        "bluegreen_source: checksum goes with an archive, not with a directory or git.",
    ),
    "ftp": ({"source": {"archive": "ftp://a/b"}}, "bluegreen_source: archive is a URL of 'ftp'; http or https is expected."),
    "strip": ({"source": {"archive": "a", "strip": "one"}}, "bluegreen_source: strip is 'one'; a whole number is expected."),
    "source as text": ({"source": "a.tar.gz"}, "bluegreen_source is a text; a dictionary is expected."),
    # health
    "health path without a slash": ({"health_path": "health"}, "bluegreen_health_path is 'health'; a path that begins with a slash is expected."),
    "health path with a blank": ({"health_path": "/a b"}, "bluegreen_health_path is '/a b'; a path without blanks is expected, "),
    "health path of letters that HTTP lacks": ({"health_path": "/é"}, "bluegreen_health_path is '/é'; a path without blanks is expected, "),
    "health status": ({"health_status": "ok"}, "bluegreen_health_status is 'ok'; an HTTP status from 100 to 599 is expected."),
    "health statuses": ({"health_status": []}, "bluegreen_health_status is an empty list; an HTTP status is expected."),
    "health port": ({"health_port": "rpc"}, "bluegreen_health_port: no slot has a port named 'rpc'."),
    "health header": ({"health_request_headers": {"a b": "c"}}, "bluegreen_health_request_headers: 'a b' is no name of an HTTP header."),
    "health header of two lines": (
        {"health_request_headers": {"Host": "a\r\nb"}},
        "bluegreen_health_request_headers: the value of 'Host' must be one line of ASCII.",
    ),
    # commands
    "empty command": ({"command": ""}, "bluegreen_command is not set and has no default: "),
    "command that climbs": ({"command": "bin/../../x"}, "bluegreen_command: 'bin/../../x' climbs out of the release; a path inside of it is expected."),
    "command for a shell": ({"command": "a && b"}, "bluegreen_command runs without a shell, so '&&' would be an argument. "),
    "open quotation": ({"command": "a 'b"}, "bluegreen_command cannot be split into words (No closing quotation); close the quotation."),
    "command of a dictionary": ({"command": {"a": 1}}, "bluegreen_command is a dictionary; a text or a list of words is expected."),
    "word that is no text": ({"command": ["a", None]}, "bluegreen_command: a word of it is no text; put each in quotes."),
    "NUL in a command": ({"command": ["a", "b\0"]}, "bluegreen_command holds a NUL byte, which no process can be given."),
    "nginx with an open quotation": ({"nginx_command": "nginx 'a"}, "bluegreen_nginx_command cannot be split into words "),
    "reload with an open quotation": ({"nginx_reload_command": "a 'b"}, "bluegreen_nginx_reload_command cannot be split into words "),
    "build of one word": ({"build": ["make"]}, "bluegreen_build is a list; a text for sh or a list of at least two words is expected."),
    # environment
    "name in the environment": ({"environment": {"A-B": 1}}, "bluegreen_environment: 'A-B' is no name of a variable; "),
    "list in the environment": ({"environment": {"A": ["x"]}}, "bluegreen_environment: A must be a string or a number, not a list."),
    "NUL in the environment": ({"environment": {"A": "x\0"}}, "bluegreen_environment: A holds a NUL byte, which no process can be given."),
    "environment as text": ({"environment": "A=1"}, "bluegreen_environment is a text; a dictionary is expected."),
    "PORT in the environment": ({"environment": {"PORT": 1}}, "bluegreen_environment: PORT is set by the collection itself for each slot; take it out."),
    # the rest
    "stopwaitsecs below the grace": (
        {"stop_timeout": 30, "stop_grace": 30},
        "bluegreen_stop_timeout (stopwaitsecs) is 30 s, the application's own grace (bluegreen_stop_grace) 30 s: supervisor would kill it in the middle "
        "of a request. Make bluegreen_stop_timeout larger.",
    ),
    "no choice of ours": ({"on_drain_timeout": "wait"}, "bluegreen_on_drain_timeout is 'wait'; one of go_on, stop is expected."),
    "no flag": ({"server": "perhaps"}, "bluegreen_server is 'perhaps'; true or false is expected."),
    "no path for metrics": (
        {"monitoring_textfile_dir": "textfiles"},
        "bluegreen_monitoring_textfile_dir is 'textfiles'; an absolute path of letters, digits and . _ + - @, without '..', is expected.",
    ),
    "no path": ({"root": "srv"}, "bluegreen_root is 'srv'; an absolute path of letters, digits and . _ + - @, without '..', is expected."),
    "path that climbs": ({"root": "/srv/../etc"}, "bluegreen_root is '/srv/../etc'; an absolute path "),
    "key without a certificate": ({"tls_key": "/k"}, "bluegreen_tls_certificate and bluegreen_tls_key belong together; one is missing."),
    "size for nginx": ({"body_size": "50MB"}, "bluegreen_body_size is '50MB'; a size such as 50m is expected."),
    "size for supervisor": ({"log_max_bytes": "50m"}, "bluegreen_log_max_bytes is '50m'; a size such as 50MB is expected."),
    "more than a server name": ({"server_name": "a; b"}, "bluegreen_server_name is 'a; b'; it must not hold ; { } or a new line."),
    "location": ({"location": "shop"}, "bluegreen_location is 'shop'; a prefix that begins with a slash is expected."),
}


@pytest.mark.parametrize(("given", "sentence"), BAD.values(), ids=BAD.keys())
def test_a_wrong_variable_is_told_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    told = sentences(**given)

    assert len(told) == 1
    assert told[0].startswith(sentence)
    assert told[0].endswith((".", "?", "…."))


TIMES = ("boot_timeout", "drain_timeout", "stop_timeout", "health_timeout", "health_interval", "build_timeout", "upstream_idle", "proxy_read_timeout")


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(("value", "seen"), [(0, "0"), (-1, "-1"), ("-0.5", "-0.5"), (float("nan"), "nan"), ("inf", "inf")])
def test_a_time_that_is_not_positive_is_refused(name: str, value: Any, seen: str) -> None:
    assert sentences(**{name: value}) == [f"bluegreen_{name} is {seen}; a positive number is expected."]


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(("value", "seen"), [("soon", "'soon'"), ("30s", "'30s'"), (True, "true"), ([1], "a list")])
def test_a_time_that_is_no_number_is_refused(name: str, value: Any, seen: str) -> None:
    assert sentences(**{name: value}) == [f"bluegreen_{name} is {seen}; a number is expected."]


def test_everything_wrong_is_told_at_once() -> None:
    told = sentences(service="Shop", health_path="health", drain_timeout=0, slots=slots(blue(), green(name="blue")), tls_key="/k")

    assert [line.split()[0].rstrip(":") for line in told] == [
        "bluegreen_service",
        "bluegreen_drain_timeout",
        "bluegreen_health_path",
        "bluegreen_tls_certificate",
        "bluegreen_slots",
    ]


def test_a_single_slot_is_allowed_to_whoever_accepts_the_downtime() -> None:
    assert [member.slot for member in resolve(slots=slots(blue()), min_serving=0).wish.members] == ["blue"]


def test_variables_that_are_text_because_they_come_from_the_command_line_are_read_as_what_they_mean() -> None:
    wish = resolve(slots=json.dumps([blue(), green(backup=True)]), drain_timeout="2.5", health_successes="4", server="no", autorestart=False).wish

    assert [(member.slot, member.port, member.backup) for member in wish.members] == [("blue", 9502, False), ("green", 9503, True)]
    assert (wish.drain_timeout, wish.health.successes, wish.site.enabled, wish.program.autorestart) == (2.5, 4, False, "false")


def test_a_release_that_is_a_whole_number_is_its_name() -> None:
    assert resolve(release=20260801).wish.release == "20260801"


def test_four_variables_are_enough() -> None:
    wish = resolve().wish

    assert wish.root == "/srv/shop"
    assert [(member.slot, member.ports, member.backup) for member in wish.members] == [("blue", {"http": 9502}, False), ("green", {"http": 9503}, True)]


@pytest.mark.parametrize("role", ["supervisor_program", "nginx_upstream", "monitoring"])
def test_to_install_the_service_s_name_is_enough(role: str) -> None:
    assert resolve(role, release=ABSENT, command=ABSENT, source=ABSENT).wish.release == ""


@pytest.mark.parametrize("role", ["supervisor_program", "nginx_upstream", "monitoring"])
def test_to_install_what_the_release_says_of_slots_and_ports_holds_too(role: str) -> None:
    ports = slots({"name": "blue", "ports": {"http": 9502, "ws": 9504}}, {"name": "green", "ports": {"http": 9503, "ws": 9505}})

    assert resolve(role, release=ABSENT, command=ABSENT, source=ABSENT, slots=ports, listen={"http": 80, "ws": 81}).wish.members
    assert resolve(role, release=ABSENT, command=ABSENT, source=ABSENT, slots=slots(blue()), min_serving=0).wish.members


# How a run goes through the fleet

SERIALS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "number": (3, ("3",)),
    "number as text": ("3", ("3",)),
    "percentage": ("20%", ("20%",)),
    "list": ([1, 5, "20%"], ("1", "5", "20%")),
    "JSON of a survey": ('[1, 5, "20%"]', ("1", "5", "20%")),
    "almost JSON of a survey": ("[1, 5, 20%]", ("1", "5", "20%")),
    "words of a survey": ("1, 5, 20%", ("1", "5", "20%")),
    "one number as a list": ([2], ("2",)),
    "nothing said": (ABSENT, ("1",)),
}


@pytest.mark.parametrize(("given", "serial"), SERIALS.values(), ids=SERIALS.keys())
def test_the_width_of_the_batches_comes_from_any_kind_of_variable(given: Any, serial: tuple[str, ...]) -> None:
    assert resolve(serial=given).rollout.serial == serial


EXPECTED = "a number, or a percentage such as 50%, is expected."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (0, "bluegreen_serial is 0; batches of at least one host are expected."),
        ("0%", "bluegreen_serial is '0%'; batches of at least one host are expected."),
        ([1, 0], "bluegreen_serial is a list; batches of at least one host are expected."),
        ([], "bluegreen_serial is an empty list; a number, a percentage or a list of them is expected."),
        ("all", f"bluegreen_serial is 'all'; {EXPECTED}"),
        (-1, f"bluegreen_serial is '-1'; {EXPECTED}"),
        ("120%", f"bluegreen_serial is '120%'; {EXPECTED}"),
        ("1, half", f"bluegreen_serial is 'half'; {EXPECTED}"),
        (1.5, f"bluegreen_serial is '1.5'; {EXPECTED}"),
        (True, f"bluegreen_serial is 'True'; {EXPECTED}"),
    ],
    ids=str,
)
def test_a_width_that_is_none_is_told_in_one_sentence(given: Any, sentence: str) -> None:
    assert sentences(serial=given) == [sentence]


@pytest.mark.parametrize(
    ("value", "count", "number"),
    [
        (2, 10, 2),
        ("2", 10, 2),
        (0, 10, 0),
        ("50%", 4, 2),
        ("50%", 5, 3),
        ("50 %", 4, 2),
        ("33.4%", 3, 2),
        ("100%", 7, 7),
        ("0%", 7, 0),
        ("1%", 1, 1),
        ("20%", 0, 0),
    ],
)
def test_a_share_is_a_number_or_a_percentage_rounded_up(value: Any, count: int, number: int) -> None:
    problems = _rules.Problems()
    assert _rules.share(value, count, "bluegreen_min_serving", problems) == number
    assert problems.found == []


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("half", "'half'"),
        (-1, "-1"),
        ("-1", "'-1'"),
        ("101%", "'101%'"),
        ("%", "'%'"),
        (1.5, "1.5"),
        (True, "true"),
        ([1], "a list"),
        ("1" * 10, "'1111111111'"),
    ],
)
def test_a_share_that_is_none_is_told_in_one_sentence(value: Any, shown: str) -> None:
    assert sentences(min_serving=value)[:1] == [f"bluegreen_min_serving is {shown}; {EXPECTED}"]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([1, "20%"], [1, "20%"]),
        ((1, 2), [1, 2]),
        ("[1, 2]", [1, 2]),
        ("[a, 'b']", ["a", "b"]),
        ("a, b", ["a", "b"]),
        ("a", ["a"]),
        ("7", [7]),
        (7, [7]),
        ("", [""]),
        ({"a": 1}, [{"a": 1}]),
    ],
    ids=str,
)
def test_a_list_is_read_from_whatever_stands_for_one(value: Any, found: list[Any]) -> None:
    assert _values.listed(value) == found


def test_the_policy_and_the_patience_of_a_run_arrive() -> None:
    assert resolve(on_failure="fleet", max_unreachable="2", lock_timeout="90").rollout == _wish.Rollout(("1",), "fleet", 2, 90.0)
    assert resolve().rollout == _wish.Rollout(("1",), "stop", 0, 0.0)


@pytest.mark.parametrize("name", ["max_unreachable", "lock_timeout"])
def test_a_number_of_the_run_below_zero_is_refused(name: str) -> None:
    assert sentences(**{name: -1}) == [f"bluegreen_{name} is -1; 0 or a positive number is expected."]


# Hosts behind balancers

BEHIND = _topology.Topology(("app1", "app2"), ("lb1", "lb2"), local=False)
BOTH = _topology.Topology(("app1", "app2"), ("lb1", "lb2"), local=True)


def behind(
    host: str = "app1", shape: _topology.Topology = BEHIND, reached_at: str = "10.0.0.7", fleet: Any = (), batches: Any = (), **given: Any
) -> _wish.Resolved:
    """The wish of a host whose members are balanced elsewhere; ``reached_at`` is where Ansible finds it."""
    values = {f"bluegreen_{name}": value for name, value in {**MINIMAL, **given}.items()}
    collected = {**_variables.collect(values, lambda value: value), "reached_at": reached_at}
    return _wish.resolve(collected, host, shape, fleet, batches)


def refused(**given: Any) -> list[str]:
    with pytest.raises(Refusal) as found:
        behind(**given)
    return str(found.value).splitlines()


def test_a_member_is_balanced_at_the_address_where_ansible_reaches_its_host() -> None:
    wish = behind().wish

    assert {member.address for member in wish.members} == {"10.0.0.7"}
    assert (wish.pool, wish.balancers, wish.others) == ((), ("lb1", "lb2"), ("lb1", "lb2"))


def test_the_address_that_is_given_counts_before_the_one_of_ansible_and_a_slots_own_before_both() -> None:
    wish = behind(address="10.0.0.8", slots=slots(blue(), green(address="10.0.0.9"))).wish

    assert [member.address for member in wish.members] == ["10.0.0.8", "10.0.0.9"]


def test_a_host_that_balances_itself_needs_no_address() -> None:
    assert {member.address for member in resolve().wish.members} == {"127.0.0.1"}


def test_one_slot_is_enough_behind_balancers() -> None:
    assert [member.slot for member in behind(slots=slots(blue())).wish.members] == ["blue"]


@pytest.mark.parametrize("reached_at", ["web1", "web1.example.com", "127.0.0.1", "::1", "", "0.0.0.0"])
def test_an_address_that_no_balancer_could_ask_is_told_with_what_to_set(reached_at: str) -> None:
    assert refused(reached_at=reached_at) == [
        f"bluegreen_address is not set, and {reached_at!r} is no address at which lb1, lb2 could reach this host: "
        'set it to this host\'s IPv4 address, as in bluegreen_address: "{{ ansible_default_ipv4.address }}".'
    ]


@pytest.mark.parametrize("address", ["web1", "0.0.0.0", "::1", "10.0.0"])
def test_an_address_that_is_none_is_told_in_one_sentence(address: str) -> None:
    assert refused(address=address) == [f"bluegreen_address is {address!r}; an IPv4 address such as 10.0.0.7 is expected."]


def test_where_every_slot_has_its_own_address_none_is_asked_for() -> None:
    assert behind(reached_at="web1", slots=slots(blue(address="10.0.0.8"))).wish.members[0].address == "10.0.0.8"


def test_an_address_of_this_machine_is_allowed_to_whoever_says_so() -> None:
    assert behind(address="127.0.0.1").wish.members[0].address == "127.0.0.1"


def fleet_of(hosts: int) -> tuple[Any, ...]:
    return tuple(behind(f"app{number}", address=f"10.0.0.{number}", slots=slots(blue())).wish.members[0] for number in range(1, hosts + 1))


def test_a_balancer_serves_all_members_and_runs_none() -> None:
    fleet = fleet_of(5)
    wish = behind("lb1", fleet=fleet, batches=[["app1/blue", "app2/blue"]], min_serving="50%", environment={"SECRET": "x"}).wish

    assert (wish.members, wish.pool, wish.balancers, wish.others) == ((), fleet, (), ())
    assert wish.min_serving == 3, "of five, rounded up"
    assert wish.batches == (("app1/blue", "app2/blue"),)


def test_a_balancer_that_could_not_spare_a_member_is_told() -> None:
    assert refused(host="lb1", fleet=fleet_of(2), min_serving=2) == [
        "lb1 balances 2 members and bluegreen_min_serving is 2: none could be swapped without downtime. "
        "Add a slot, or accept the downtime with bluegreen_min_serving: 0."
    ]


def test_members_of_one_balancer_need_the_same_ports() -> None:
    (one,) = behind(slots=slots(blue())).wish.members
    (two,) = behind("app2", slots=slots({"name": "blue", "ports": {"http": 1, "ws": 2}}), listen={"http": "80", "ws": "81"}).wish.members
    assert refused(host="lb1", fleet=(one, two)) == [
        "bluegreen_slots: every host's slots need the same names of ports in the same order, because one balancer serves them all."
    ]


def test_nginx_may_listen_on_a_port_that_is_a_slots_on_another_host() -> None:
    assert behind("lb1", fleet=fleet_of(2), listen="9502").wish.site.listen == {"http": "9502"}
    assert behind(slots=slots(blue()), listen="9502").wish.site.listen == {"http": "9502"}


def test_with_both_kinds_of_balancers_the_own_nginx_serves_the_own_slots() -> None:
    wish = behind(shape=BOTH).wish

    assert wish.pool == wish.members
    assert (wish.balancers, wish.others) == (("lb1", "lb2", "app1"), ("lb1", "lb2"))


SECRET = "hunter2-marker"


@pytest.mark.parametrize(
    "environment",
    [
        {"DB_PASSWORD": [SECRET]},
        {"DB_PASSWORD": {"value": SECRET}},
        {"DB_PASSWORD": f"{SECRET}\0"},
        f"DB_PASSWORD={SECRET}",
        [f"DB_PASSWORD={SECRET}"],
        SECRET,
    ],
    ids=["list", "dictionary", "NUL", "text", "entries", "bare"],
)
def test_a_secret_is_in_no_sentence(environment: Any) -> None:
    assert SECRET not in "\n".join(sentences(environment=environment, service="Shop"))


def test_a_password_in_the_source_s_url_is_refused_without_being_said() -> None:
    told = sentences(source={"archive": f"https://user:{SECRET}@example.test/a.tar.gz"})

    assert len(told) == 1 and "user or password" in told[0] and SECRET not in told[0]
