"""Messages of whole releases: one that succeeds, one with nothing to do, one that fails; and no token in any output or file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.scenarios import plays
from tools import bed as beds

TOKEN, SECRET, HEADER = "T0KEN-marker", "S3CRET-marker", "H3ADER-marker"


class Services:
    """What stands for the services: ``/dingtalk`` refuses in its body, repeating the token; ``/down`` is down; all others take what comes."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                services.got.append((urlsplit(self.path).path.split("/")[1], body))
                answer = json.dumps({"errcode": 310000, "errmsg": f"no such token {TOKEN}"}).encode()
                self.send_response(500 if self.path.startswith("/down") else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_words: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever).start()

    def taken(self) -> dict[str, list[dict[str, Any]]]:
        """What came since it was asked last, by service."""
        found: dict[str, list[dict[str, Any]]] = {}
        for name, body in self.got:
            found.setdefault(name, []).append(body)
        self.got.clear()
        return found

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    found = Services()
    yield found
    found.close()


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    with beds.temporary(beds.Bed) as bed:
        done = run(bed, "install")
        assert done.startswith("status 0\n"), done
        yield bed


def run(bed: beds.Bed, playbook: str, *words: str, **given: Any) -> str:
    """The output of a playbook, behind a line with its exit status; no file of it may hold what is secret, but the inventory that says it."""
    variables = {**bed.variables, **plays.RELEASE, **{f"bluegreen_{name}": value for name, value in given.items()}}
    done = plays.run(bed.path / "plays", f"hotswap.bluegreen.{playbook}", {"app1": {}}, variables, *words)
    (bed.path / "plays" / "inventory.yml").unlink()
    files = [path for path in bed.path.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in files for word in (TOKEN, SECRET, HEADER) if word.encode() in path.read_bytes()]
    output = f"status {done.returncode}\n{done.stdout}{done.stderr}"
    assert not [word for word in (TOKEN, SECRET, HEADER) if word in output]
    return output


def test_a_release_tells_that_it_begins_and_how_it_ended_and_no_token_is_anywhere(bed: beds.Bed, services: Services, tmp_path: Path) -> None:
    notify = [
        {"kind": "slack", "url": f"{services.url}/slack/{TOKEN}"},
        {"kind": "dingtalk", "url": f"{services.url}/dingtalk?access_token={TOKEN}", "secret": SECRET},
        {"url": f"{services.url}/down/{TOKEN}", "headers": {"Authorization": f"Bearer {HEADER}"}, "on": "success", "timeout": 2},
        {"url": f"{services.url}/bad-news", "on": ["failure", "rollback"]},
    ]
    given = {"notify": notify, "report_dir": str(tmp_path)}

    output = " ".join(run(bed, "release", "-vvv", **given).split())
    assert output.startswith("status 0 ")
    assert "dingtalk message to 127.0.0.1 (begun) was not sent: it answered 200 with errcode 310000: no such token …" in output
    assert "generic message to 127.0.0.1 (released) was not sent: it answered 500: " in output and "(3 attempts)" in output
    taken = services.taken()
    assert {name: len(bodies) for name, bodies in taken.items()} == {"slack": 2, "dingtalk": 2, "down": 3}
    begun, released = (body["text"] for body in taken["slack"])
    (report,) = tmp_path.iterdir()
    assert begun.startswith("Release v1 of shop begins on app1.\nBy ")
    assert released.startswith("Release v1 of shop serves on 2 members of app1 after ") and released.endswith(f"\nReport: {report}")
    journal = (report / "journal.jsonl").read_text()
    assert "slack message to 127.0.0.1: sent (begun)" in journal and "not sent: it answered 500" in journal
    assert not [word for word in (TOKEN, SECRET, HEADER) for path in report.iterdir() if word in path.read_text()]

    assert run(bed, "release", **given).startswith("status 0\n")
    assert services.taken() == {}, "it had nothing to do"
    assert run(bed, "release", "--check", **given, release="v2").startswith("status 0\n")
    assert services.taken() == {}, "it was a check"

    assert run(bed, "release", **given, release="v3", environment={"BOOT_SECONDS": "9"}, boot_timeout=1).startswith("status 2\n")
    taken = services.taken()
    assert {name: len(bodies) for name, bodies in taken.items()} == {"slack": 2, "dingtalk": 2, "bad-news": 1}
    (news,) = taken["bad-news"]
    assert (news["event"], news["occasions"], news["result"], news["back"]) == ("failure", ["failure", "rollback"], "failed", ["app1 (v1)"])
    assert news["failure"].startswith("app1/green failed at check: ") and 0 < news["seconds"] < 300


def test_a_release_that_cannot_be_staged_is_told_too(bed: beds.Bed, services: Services) -> None:
    notify = [{"kind": "slack", "url": f"{services.url}/slack/{TOKEN}", "on": "failure", "template": "$result: $failure"}]
    assert run(bed, "release", release="v4", build="false", notify=notify).startswith("status 2\n")
    assert services.taken() == {"slack": [{"text": "failed: a task failed on app1; the output of the run says why", "mrkdwn": False}]}


def test_what_is_wrong_with_it_is_said_all_at_once_before_anything_is_touched(bed: beds.Bed, services: Services) -> None:
    before = {**plays.picture(bed, folders=False), **plays.pids(bed)}
    notify = [{"kind": "slak", "url": f"{services.url}/{TOKEN}"}, {"url": f"example.com/{TOKEN}", "timeout": "soon"}]
    output = run(bed, "release", "-vvv", release="v5", notify=notify)
    assert output.startswith("status 2\n")
    assert "bluegreen_notify, entry 1: kind is 'slak'; one of generic, slack, dingtalk, wecom, feishu is expected." in output
    assert "bluegreen_notify, entry 2: timeout is 'soon'; a number is expected." in output
    assert services.taken() == {}
    assert {**plays.picture(bed, folders=False), **plays.pids(bed)} == before
