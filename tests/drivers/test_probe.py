"""The probe against servers that misbehave on purpose: every request that was due is counted, as what it was."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _probe_process, _processes
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe import _http, _socket
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Kind, Settings, dumps
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._load import Load

from tests.drivers.rude import Server
from tools.bed import alive, wait_until

Result = dict[str, Any]
HEADER = {"header": "X-Release"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as one:
        yield one


@pytest.fixture
def own_server() -> Iterator[Server]:
    with Server() as one:
        yield one


def run(until: Callable[[Load], Any], *kinds: Kind, release: dict[str, str] = HEADER) -> Result:
    """The result of a probe that goes on until something is so."""
    load = Load(Settings(kinds, release))
    load.start()
    deadline = time.monotonic() + 20
    while not until(load):
        assert time.monotonic() < deadline, load.result()
        load.watch()
        time.sleep(0.02)
    load.finish()
    return dict(load.result())


def after(seconds: float) -> Callable[[Load], bool]:
    end = time.monotonic() + seconds
    return lambda _load: time.monotonic() > end


def kind(server: Server, path: str, **more: Any) -> Kind:
    scheme = "ws" if path.startswith("/ws") else "http"
    words = {"type": "websocket", "send": "hello", "expect_body": "echo hello", "rate": 40.0} if scheme == "ws" else {}
    return Kind(path, **{"url": server.url(path, scheme), "connections": 2, "rate": 20.0, "timeout": 5.0, **words, **more})


def sums_agree(result: Result) -> None:
    for figures in (result, *result["kinds"].values()):
        assert figures["due"] == figures["answered"] + figures["failed"]
        assert figures["answered"] == sum(figures["by_release"].values())
        assert figures["failed"] == sum(figures["by_class"].values())
        assert figures["open"] == 0
    points = result["series"]["points"]
    assert sum(point["due"] for point in points) == result["due"] == sum(one["due"] for one in result["kinds"].values())
    assert sum(sum(point["failed"].values()) for point in points) == result["failed"]
    assert sum(sum(point["by_release"].values()) for point in points) == result["answered"]


# HTTP.

WRONG = {
    "/reset": "reset",
    "/half": "closed",
    "/no-answer": "closed",
    "/chunks": "closed",
    "/502": "status",
    "/redirect": "status",
    "/wrong": "content",
    "/garbage": "content",
}


@pytest.fixture(scope="module")
def wronged(server: Server) -> Result:
    """All that goes wrong at once, beside a kind that goes well."""
    kinds = [kind(server, path, expect_body="app") if path == "/wrong" else kind(server, path) for path in WRONG]
    return run(lambda _load: min(server.asked[path] for path in (*WRONG, "/good")) >= 10, *kinds, kind(server, "/good"))


@pytest.mark.parametrize("path", WRONG)
def test_what_a_server_does_wrong_is_counted_as_what_it_is(wronged: Result, server: Server, path: str) -> None:
    figures = wronged["kinds"][path]

    assert figures["by_class"] == {WRONG[path]: server.asked[path]}
    assert (figures["due"], figures["answered"]) == (server.asked[path], 0)


def test_what_goes_well_beside_it_is_not_touched(wronged: Result, server: Server) -> None:
    figures = wronged["kinds"]["/good"]

    assert (figures["by_release"], figures["failed"]) == ({"v1": figures["due"]}, 0)
    sums_agree(wronged)


def test_a_redirect_is_not_followed_and_nothing_is_asked_twice(wronged: Result, server: Server) -> None:
    assert server.asked["/good"] == wronged["kinds"]["/good"]["due"]
    assert wronged["due"] == sum(server.asked[path] for path in (*WRONG, "/good"))


def test_each_failure_says_when_which_and_what(wronged: Result) -> None:
    said = {failure["kind"]: failure for failure in wronged["failures"]}

    assert said["/502"]["detail"] == "502, not 200; server nginx"
    assert said["/wrong"]["detail"] == "5 bytes without the expected text"
    assert said["/wrong"]["release"] == "v2"
    assert wronged["began"] <= said["/reset"]["at"] <= wronged["ended"] + 3
    assert len(wronged["failures"]) == wronged["failed"]


def test_a_port_that_refuses_is_counted_as_refused() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        one = Kind("gone", f"http://127.0.0.1:{nobody.getsockname()[1]}/", rate=100.0, connections=2)
        result = run(after(0.3), one)

    assert result["by_class"] == {"refused": result["due"]}
    assert result["due"] >= 25
    sums_agree(result)


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_server_that_never_ends_costs_each_request_its_time_and_no_more(own_server: Server, path: str) -> None:
    began, gone = time.monotonic(), after(0.6)
    result = run(lambda load: gone(load) and own_server.asked[path] >= 5, kind(own_server, path, timeout=0.3, rate=50.0))  # so its connections come back

    assert result["by_class"] == {"timeout": result["due"]}
    assert result["due"] >= 30  # whoever waits for an answer before asking again would have asked five times
    assert time.monotonic() - began < 10
    sums_agree(result)


def test_connections_that_all_wait_are_told_as_the_reason_for_being_late(own_server: Server) -> None:
    result = run(after(0.5), kind(own_server, "/slow", connections=1, rate=10.0, timeout=10.0))  # 0.3 s an answer, one each 0.1 s

    assert result["late"]["requests"] >= 3
    assert result["late"]["seconds"] > 0.3
    assert result["failed"] == 0
    sums_agree(result)


def test_a_stall_of_two_seconds_is_seen_by_every_request_that_was_due_in_it(own_server: Server) -> None:
    one = kind(own_server, "/stalling", rate=100.0, connections=4, timeout=10.0)
    moments = [0.5, 2.5]
    began = time.monotonic()

    def until(_load: Load) -> bool:
        gone = time.monotonic() - began
        own_server.stalled.set() if moments[0] < gone < moments[1] else own_server.stalled.clear()
        return gone > 3.2

    result = run(until, one)

    assert result["failed"] == 0
    assert result["due"] >= 310
    assert result["latency"]["p99"] > 1.8  # whoever waits for an answer before asking again would have had 4 slow ones of 120
    assert 1.9 < result["latency"]["max"] < 5
    sums_agree(result)


def test_a_kept_connection_that_was_closed_between_two_requests_is_no_failure(own_server: Server) -> None:
    result = run(lambda _load: own_server.asked["/idle"] >= 10, kind(own_server, "/idle", connections=1))

    assert (result["failed"], result["due"]) == (0, own_server.did["closed idle"])
    assert own_server.connections == result["due"]


def test_one_that_dies_with_a_request_on_its_way_is_one(own_server: Server) -> None:
    result = run(lambda _load: own_server.asked["/second"] >= 10, kind(own_server, "/second", connections=1))

    assert result["by_class"] == {"closed": own_server.did["closed busy"]}
    assert result["due"] == own_server.asked["/second"]


def test_connections_are_kept_or_new_as_wished_and_no_cookie_is_sent_back(own_server: Server) -> None:
    kept = run(after(0.4), kind(own_server, "/cookie", connections=1))
    assert (kept["failed"], own_server.connections) == (0, 1)

    new = run(after(0.4), kind(own_server, "/good", connections=1, keep=False))

    assert own_server.connections == 1 + new["due"]
    assert not any("\r\ncookie:" in head.lower() for head in own_server.headers)


def test_what_is_under_way_at_the_end_is_answered_and_nothing_is_due_after_it(own_server: Server) -> None:
    result = run(lambda _load: own_server.asked["/slow"] >= 2, kind(own_server, "/slow"))

    assert result["by_release"] == {"v1": result["due"]}
    assert own_server.asked["/slow"] == result["due"]
    sums_agree(result)


def test_the_release_is_read_from_a_json_field_too(own_server: Server) -> None:
    result = run(lambda _load: own_server.asked["/good"] >= 2, kind(own_server, "/good"), release={"json": "app.release"})

    assert result["by_release"] == {"v1": result["due"]}


def test_expected_headers_and_json_decide_what_is_right(own_server: Server) -> None:
    right = kind(own_server, "/good", expect_header={"X-Release": "v1"}, expect_json={"app.release": "v1"})
    wrong = replace(right, name="wrong", expect_json={"app.release": "v2"})
    result = run(after(0.3), right, wrong)

    assert result["kinds"]["/good"]["failed"] == 0
    assert result["kinds"]["wrong"]["by_class"] == {"content": result["kinds"]["wrong"]["due"]}


def test_a_slow_upload_takes_its_time_and_arrives_whole(own_server: Server) -> None:
    one = kind(own_server, "/good", method="POST", body="x" * 20_000, body_seconds=0.5, rate=2.0)
    result = run(lambda _load: own_server.asked["/good"] >= 2, one)

    assert result["failed"] == 0
    assert result["latency"]["p50"] >= 0.5


def test_a_certificate_is_checked_with_the_given_authorities_or_not_at_all(tmp_path: Path) -> None:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*make.split(), "-keyout", f"{tmp_path}/key", "-out", f"{tmp_path}/pem"], check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(f"{tmp_path}/pem", f"{tmp_path}/key")
    with Server(tls) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        http, chat = kind(server, "/good", url=f"https://localhost:{server.port}/good"), kind(server, "/ws", url=f"wss://localhost:{server.port}/ws")
        kinds = [replace(one, name=f"{one.name} {verify}", verify=verify) for one in (http, chat) for verify in (f"{tmp_path}/pem", False, True)]
        result = run(after(0.5), *kinds)

    for name, figures in result["kinds"].items():
        if name.endswith("True"):
            assert figures["by_class"]["network"] > 0, name
            assert figures["answered"] == 0, name
        else:
            assert (figures["failed"], figures["by_release"]) == (0, {"v1": figures["due"]}), name
    assert {failure["detail"] for failure in result["failures"] if failure["class"] == "network"} == {"TLS: CERTIFICATE_VERIFY_FAILED"}


# WebSockets.


def test_a_websocket_is_held_and_asked_on_schedule(own_server: Server) -> None:
    result = run(lambda _load: own_server.did["message"] >= 10, kind(own_server, "/ws"))

    assert result["sockets"] | {"slowest_back": 0} == {"opened": 2, "announced": 0, "cut": 0, "resent": 0, "slowest_back": 0}
    assert result["by_release"] == {"v1": 2 + own_server.did["message"]}
    assert own_server.asked["/ws"] == 2
    sums_agree(result)


def test_a_websocket_of_another_host_names_it_once(own_server: Server) -> None:
    run(lambda _load: own_server.did["message"] >= 1, kind(own_server, "/ws", headers={"Host": "shop.test", "origin": "https://shop.test", "X-Who": "me"}))
    lines = own_server.headers[0].split("\r\n")
    assert [line for line in lines if line.lower().startswith(("host:", "origin:", "x-who:"))] == ["Host: shop.test", "Origin: https://shop.test", "X-Who: me"]


def test_one_that_says_goodbye_is_opened_again_at_once_and_nothing_has_failed(own_server: Server) -> None:
    result = run(lambda _load: own_server.did["goodbye"] >= 4, kind(own_server, "/ws-goodbye"))

    sockets = result["sockets"]
    assert result["failed"] == 0
    assert sockets["announced"] == own_server.did["goodbye"]
    assert sockets["opened"] == own_server.asked["/ws-goodbye"] >= 4
    assert 0 < sockets["slowest_back"] < 5
    sums_agree(result)


def test_a_message_that_crossed_a_goodbye_is_sent_again(own_server: Server) -> None:
    result = run(lambda _load: own_server.did["goodbye"] >= 3, kind(own_server, "/ws-crossing", connections=1))

    assert result["failed"] == 0
    assert result["sockets"]["resent"] == result["sockets"]["announced"] == own_server.did["goodbye"]
    assert result["due"] == own_server.asked["/ws-crossing"] + own_server.did["message"] - result["sockets"]["resent"]


@pytest.mark.parametrize("path", ["/ws-cut", "/ws-error", "/ws-cut-busy"])
def test_one_that_ends_otherwise_was_cut(own_server: Server, path: str) -> None:
    result = run(lambda _load: own_server.did["cut"] >= 3, kind(own_server, path, connections=1))

    assert result["by_class"] == {"cut": own_server.did["cut"]}
    on_their_way = own_server.did["cut"] if path == "/ws-cut-busy" else 0  # each is the failure of a message, else one of its own
    assert result["due"] == own_server.asked[path] + own_server.did["message"] + own_server.did["cut"] - on_their_way
    assert result["sockets"]["cut"] == own_server.did["cut"]
    sums_agree(result)


def test_a_handshake_that_is_refused_is_a_failed_request(own_server: Server) -> None:
    result = run(lambda _load: own_server.asked["/ws-forbidden"] >= 2, kind(own_server, "/ws-forbidden", connections=1, timeout=0.3))

    assert result["by_class"]["status"] == own_server.asked["/ws-forbidden"]
    assert set(result["by_class"]) <= {"status", "timeout", "closed"}  # messages that were due and found no connection
    sums_agree(result)


def test_a_message_without_its_answer_has_timed_out(own_server: Server) -> None:
    result = run(lambda _load: own_server.did["message"] >= 3, kind(own_server, "/ws-silent", connections=1, timeout=0.2, rate=5.0))

    assert set(result["by_class"]) == {"timeout"}
    assert result["by_class"]["timeout"] >= own_server.did["message"]
    sums_agree(result)


def test_a_websocket_that_only_listens_expects_nothing_but_messages(own_server: Server) -> None:
    result = run(lambda _load: own_server.did["goodbye"] >= 2, kind(own_server, "/ws-ticker", connections=1, send=""))
    assert result["failed"] == 0

    result = run(after(0.7), kind(own_server, "/ws-silent", connections=1, send="", timeout=0.3))

    assert set(result["by_class"]) == {"cut"}
    sums_agree(result)


# The process.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The place of a probe, which surely ends with the test."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = _probe_process.place("mine")
    yield place
    _probe_process.stop(place)
    assert not any(tmp_path.iterdir())


def settings(server: Server, path: str = "/good", **more: Any) -> str:
    words = {name: more.pop(name) for name in ("limit", "down", "owner") if name in more}
    return dumps(Settings((kind(server, path, **more),), HEADER, **words))


def pid_of(folder: str) -> int:
    return int(json.loads(Path(folder, "pid.json").read_text())["pid"])


def test_a_probe_runs_by_itself_is_asked_and_stopped(folder: str, own_server: Server) -> None:
    told = _probe_process.start(folder, settings(own_server))
    assert told == {"down": {}, "begins": True}

    wait_until(lambda: own_server.asked["/good"] >= 5)
    wait_until(lambda: _probe_process.look(folder)["result"]["answered"] >= 5)
    assert _probe_process.look(folder)["running"]
    assert os.getsid(pid_of(folder)) == pid_of(folder)
    result = _probe_process.stop(folder)["result"]

    assert result["due"] == result["answered"] == own_server.asked["/good"] - 1  # it was asked once first
    assert result["ended_by"] == "stop"
    assert not Path(folder).exists()
    sums_agree(result)


def test_there_is_never_a_second_one_under_its_name(folder: str, server: Server) -> None:
    _probe_process.start(folder, settings(server))
    first = pid_of(folder)

    with pytest.raises(Refusal, match="a probe runs already with the id mine"):
        _probe_process.start(folder, settings(server))

    assert pid_of(folder) == first
    assert alive(first)


def test_it_ends_at_its_limit_and_its_result_is_kept(folder: str, server: Server) -> None:
    _probe_process.start(folder, settings(server, limit=0.5))
    wait_until(lambda: not _probe_process.is_running(folder))

    found = _probe_process.look(folder)

    assert not found["running"]
    assert found["result"]["ended_by"] == "limit"
    sums_agree(found["result"])
    _probe_process.start(folder, settings(server))  # and the next one may begin


def test_it_ends_and_leaves_nothing_when_its_owner_is_gone(folder: str, server: Server) -> None:
    owner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    _probe_process.start(folder, settings(server, owner={"pid": owner.pid, "start": _processes.start_time(owner.pid)}))
    pid = pid_of(folder)

    owner.send_signal(signal.SIGKILL)
    owner.wait()

    wait_until(lambda: not Path(folder).exists())
    os.waitpid(pid, 0)


def test_one_that_was_killed_is_told_from_one_that_was_stopped(folder: str, own_server: Server) -> None:
    _probe_process.start(folder, settings(own_server))
    os.kill(pid_of(folder), signal.SIGKILL)
    wait_until(lambda: not _probe_process.is_running(folder))

    assert _probe_process.stop(folder)["result"]["ended_by"] == "killed"


@pytest.mark.parametrize(("path", "why"), [("/502", "status: 502, not 200; server nginx"), ("/ws-forbidden", "status: 403, not 101")])
def test_a_target_that_is_down_is_told_and_the_probe_does_not_begin(folder: str, own_server: Server, path: str, why: str) -> None:
    told = _probe_process.start(folder, settings(own_server, path))

    assert told == {"down": {path: why}, "begins": False}
    assert own_server.asked[path] == 1
    assert not Path(folder).exists()


@pytest.mark.parametrize(
    ("path", "module", "library"), [("/good", _http, "requests (apt: python3-requests"), ("/ws", _socket, "websocket-client (apt: python3-w")]
)
def test_without_its_library_no_probe_begins(folder: str, server: Server, monkeypatch: pytest.MonkeyPatch, path: str, module: Any, library: str) -> None:
    monkeypatch.setattr(module, "HAS_LIBRARY", False)

    with pytest.raises(Refusal) as refused:
        _probe_process.start(folder, settings(server, path))

    assert library in str(refused.value)
    assert not Path(folder).exists()


def test_a_first_request_that_cannot_even_be_made_has_no_right_answer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_socket, "websocket", None)

    assert Load(Settings((kind(server, "/ws"),))).first() == {"/ws": "network: AttributeError"}


def test_it_begins_all_the_same_where_that_is_allowed(folder: str, own_server: Server) -> None:
    told = _probe_process.start(folder, settings(own_server, "/502", down="allow"))
    assert told["begins"]
    wait_until(lambda: own_server.asked["/502"] >= 3)

    result = _probe_process.stop(folder)["result"]

    assert result["by_class"] == {"status": own_server.asked["/502"] - 1}


def test_nothing_of_its_settings_is_on_a_disk_or_a_command_line(folder: str, server: Server) -> None:
    _probe_process.start(folder, settings(server, headers={"Authorization": "Bearer s3cret"}))

    files = [path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()]
    command = Path(f"/proc/{pid_of(folder)}/cmdline").read_bytes()
    assert not any(b"s3cret" in content for content in (*files, command))
    assert Path(folder).stat().st_mode & 0o077 == 0


def test_a_directory_that_somebody_else_has_put_there_is_not_used(folder: str, server: Server, tmp_path: Path) -> None:
    Path(folder).parent.symlink_to("/nowhere")
    with pytest.raises(Refusal, match="is not a directory of this user's alone"):
        _probe_process.start(folder, settings(server))
    Path(folder).parent.unlink()


def test_a_name_that_leads_elsewhere_is_refused() -> None:
    with pytest.raises(Refusal, match=r"the probe's id is '\.\./x'"):
        _probe_process.place("../x")
