"""What must answer before a release: how it is written, and what is said of it, without what may be a secret."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._config_checks import Check, findings
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal

from tests.unit.test_wish import resolve

SECRET = "hunter2"
FIRST = "bluegreen_config_checks, entry 1"
NO_URL = "url is not one of http or https with a host; such as http://config.example:8848/path is expected."


def told(*entries: dict[Any, Any]) -> list[str]:
    with pytest.raises(Refusal) as refused:
        resolve(config_checks=list(entries))
    return str(refused.value).splitlines()


@pytest.fixture(scope="module")
def centre() -> Iterator[str]:
    """A config centre: it has its keys for whoever brings the token."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("X-Token") == SECRET
            if self.path.startswith("/slow"):
                time.sleep(0.5)
            self.send_response(302 if self.path == "/moved" else 200 if known else 403)
            self.send_header("Location", "/keys")
            with contextlib.suppress(OSError):  # who asked has hung up
                self.end_headers()
                self.wfile.write(f"db.url=postgres://shop:{SECRET}@db\n".encode() if known else b"no")

        def log_message(self, *_words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def ask(*entries: dict[str, Any], user: str = "") -> list[str]:
    return findings(resolve(config_checks=list(entries)).config_checks, user, "app1")


def test_a_check_with_nothing_but_a_url_expects_200_within_ten_seconds_and_is_asked_from_the_host() -> None:
    assert resolve(config_checks=[{"url": "http://centre/keys"}]).config_checks == (Check(1, "http://centre/keys"),)


def test_yaml_reads_the_key_on_as_true_and_it_is_meant_as_on() -> None:
    assert resolve(config_checks=[{"command": "true", True: "controller"}]).config_checks[0].on == "controller"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({}, f"{FIRST} has neither url nor command; one of them is expected."),
        ({"url": "http://a", "command": "b"}, f"{FIRST} has both url and command; one of them is expected."),
        ({"command": "b", "status": 200}, f"{FIRST}: status goes with a url, not with a command."),
        ({"url": "http://a", "output": "x"}, f"{FIRST}: output goes with a command, not with a url."),
        ({"url": "http://a", "status": "20"}, f"{FIRST}: status is '20'; an HTTP status from 100 to 599 is expected."),
        ({"url": "http://a", "timeout": 0}, f"{FIRST}: timeout is 0; a positive number of seconds is expected."),
        ({"url": f"http://me:{SECRET}@a/"}, f"{FIRST}: url has a user or password in it, which"),
        ({"url": f"ftp://a/{SECRET}"}, f"{FIRST}: {NO_URL}"),
        ({"url": "http://a:b/"}, f"{FIRST}: {NO_URL}"),
        ({"url": "http://a", "headers": {"X-T": f"{SECRET}\n"}}, f"{FIRST}: headers: the value of 'X-T' must be one line of ASCII."),
        ({"command": "a && b"}, f"{FIRST}: command runs without a shell, so '&&' would be an argument."),
        ({"url": "http://a", "form": "host"}, f"{FIRST}: form is no key of it; known are "),
        ({"url": "http://a", "on": "hosts"}, f"{FIRST}: on is 'hosts'; one of host, controller is expected."),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_told_in_one_sentence_without_secrets(entry: dict[str, Any], sentence: str) -> None:
    (seen,) = told(entry)
    assert seen.startswith(sentence)
    assert SECRET not in seen


def test_what_answers_as_expected_is_not_spoken_of(centre: str) -> None:
    assert ask({"url": f"{centre}/keys", "body": "db.url=", "headers": {"X-Token": SECRET}}, {"url": centre, "status": [404, 403]}) == []
    assert ask({"url": f"{centre}/moved", "status": 302}) == [], "a redirect is not followed"
    assert ask({"command": [sys.executable, "-c", "print('ready')"], "output": "ready"}) == []


def test_what_does_not_is_told_all_at_once_and_neither_header_nor_query_nor_answer_is_shown(centre: str) -> None:
    seen = ask(
        {"url": f"{centre}/keys?token={SECRET}"},
        {"url": f"{centre}/keys", "body": "mail.url=", "headers": {"X-Token": SECRET}},
        {"url": "http://127.0.0.1:9/", "timeout": 2},
        {"url": f"{centre}/slow", "timeout": 0.1},
    )
    length = len(f"db.url=postgres://shop:{SECRET}@db\n")
    assert seen[0] == f"bluegreen_config_checks, entry 1 (GET {centre}/keys?…), asked from app1: expected 200 within 10 s; seen: status 403."
    assert seen[1].endswith(f"expected 200 with 'mail.url=' in its body within 10 s; seen: status 200 with {length} characters without that text.")
    assert "entry 3 (GET http://127.0.0.1:9/), asked from app1: expected 200 within 2 s; seen: no answer (" in seen[2]
    assert "entry 4" in seen[3] and "seen: no answer (" in seen[3]
    assert SECRET not in "".join(seen)


def test_a_command_that_fails_hangs_or_is_not_there_is_told_with_the_end_of_its_output() -> None:
    talks = "import sys; [print(f'line {n}') for n in range(9)]; sys.exit(3)"
    seen = ask(
        {"command": [sys.executable, "-c", talks, SECRET]},
        {"command": "sleep 20", "timeout": 0.2},
        {"command": "/no/such/thing"},
        {"command": [sys.executable, "-c", "print('x' * 1000)"], "output": "ready"},
        {"command": "true", "output": "ready"},
    )
    assert seen[0] == (
        f"bluegreen_config_checks, entry 1 ({sys.executable}), asked from app1: expected exit status 0 within 10 s; "
        "seen: exit status 3, its last lines: line 4 | line 5 | line 6 | line 7 | line 8."
    )
    assert seen[1].endswith("expected exit status 0 within 0.2 s; seen: it was still running, and was ended, it printed nothing.")
    assert seen[2].endswith("seen: it cannot be run (No such file or directory).")
    assert seen[3].endswith(f"expected exit status 0 and 'ready' in its output within 10 s; seen: exit status 0, its last lines: {'x' * 160}.")
    assert seen[4].endswith("seen: exit status 0, it printed nothing.")


def test_a_command_runs_as_the_service_s_user_with_that_user_s_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROOTS_OWN", SECRET)
    assert ask({"command": ["sh", "-c", "id -un; echo $HOME:$ROOTS_OWN:"], "output": "nobody\n/nonexistent::\n"}, user="nobody") == []
