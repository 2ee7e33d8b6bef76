"""The examples whose runtimes can be had, released for real from their own files, as their README.md says it.

Every day Node's takes a second release under requests; in ``make test-full`` all four take all of it.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import websocket

from tests.conftest import Counts
from tests.examples.project import PLAYBOOK, Load, Project, project, run, variables, wheels
from tools.bed import wait_until


@dataclass(frozen=True)
class Story:
    """What differs: a page and what is on it, the file and the words that break the program, the secrets of the vault."""

    page: str
    content: str
    breaks: tuple[str, str]
    vault: str = ""


STORIES = {
    "fastapi": Story("/prices/apple", "0.4", ("main.py", 'raise RuntimeError("broken on purpose")'), "vault_prices_token: hush-hush"),
    "node": Story("/", "first", ("server.js", 'throw new Error("broken on purpose")')),
    "django": Story("/", "The Moonstone", ("library/wsgi.py", 'raise RuntimeError("broken on purpose")'), "vault_library_secret_key: hush-hush"),
    "rails": Story("/", "a first order", ("config/puma.rb", 'raise "broken on purpose"'), f"vault_orders_secret_key_base: hush-hush{'0' * 64}"),
}


@contextlib.contextmanager
def installed(example: str) -> Iterator[Project]:
    """The example after its reader's first steps: the vault, the wheels, install.yml, and release 1.0."""
    story = STORIES[example]
    with project(example) as found:
        if (found.app / "requirements.txt").exists():
            shutil.copytree(wheels(example), found.app / "wheels")  # pip wheel --wheel-dir app/wheels --requirement app/requirements.txt
        if example == "fastapi":
            found.tool("uv")
        if story.vault:
            found.settings["ANSIBLE_VAULT_PASSWORD_FILE"] = str(make_vault(found.folder, story.vault))
        output = found.released("1.0", "install.yml")
        assert "hush-hush" not in output
        if example == "node":
            assert found.ask("/", "POST", "first")[0] == 201
        yield found


def make_vault(folder: Path, text: str) -> Path:
    """``ansible-vault create inventory/group_vars/all/vault.yml``, with an editor that knows what to write; the file of the password."""
    password, wanted, vault = folder / ".password", folder / ".text", folder / "inventory/group_vars/all/vault.yml"
    password.write_text("open sesame\n")
    wanted.write_text(f"{text}\n")
    vault.parent.mkdir()
    command = (str(Path(PLAYBOOK).with_name("ansible-vault")), "create", "--skip-tty-check", "inventory/group_vars/all/vault.yml")
    run(*command, cwd=folder, EDITOR=f"cp {wanted}", ANSIBLE_VAULT_PASSWORD_FILE=str(password))
    assert vault.read_text().startswith("$ANSIBLE_VAULT")
    return password


def second_release(found: Project, example: str, counts: Counts) -> None:
    """release.yml under requests, none of which fails, a slow one among them all the time."""
    story = STORIES[example]
    with Load(found.bed.port, story.page) as load:
        found.released("1.1")
        wait_until(lambda: load.answered["1.1 slow"], 60, "a slow answer of release 1.1")
    counts.add("requests to examples", sum(load.answered.values()))
    assert load.failed == []
    assert load.answered["1.0"] and load.answered["1.1"] and load.answered["1.0 slow"]
    status, release, body = found.ask(story.page)
    assert (status, release, body.count(story.content)) == (200, "1.1", 1)


def broken_release(found: Project, example: str, counts: Counts, runs: str) -> None:
    """A program that does not start: no client sees it, and ``runs`` serves on."""
    story = STORIES[example]
    name, words = story.breaks
    with open(found.app / name, "a") as program:
        program.write(f"\n{words}\n")
    with Load(found.bed.port, story.page) as load:
        done = found.play("release.yml", "-e", "bluegreen_release=1.2")
    counts.add("requests to examples", sum(load.answered.values()))
    assert done.returncode != 0
    assert f"is back on release {runs} and serves" in done.stdout, done.stdout[-4000:]
    assert "broken on purpose" in done.stdout  # its last log lines
    assert load.failed == []
    assert set(load.answered) <= {runs, f"{runs} slow"}


def stop_in_the_midst_of_a_request(found: Project, example: str) -> None:
    """The stop as supervisor does it, with a request of three seconds in work and a client that only keeps its connection."""
    port, service = found.bed.green, variables(example)["bluegreen_service"]
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    idle.request("GET", "/health", headers={"Host": "localhost"})
    idle.getresponse().read()
    with contextlib.closing(idle), socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        slow.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: has_read(port, slow), 20, "the program's taking the request")
        began = time.monotonic()
        assert "stopped" in found.bed.supervisorctl("stop", f"{service}-green")
        seconds = time.monotonic() - began
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        assert answer.status == 200
        assert b"done" in answer.read()
    print(f"{example}: stopped in {seconds:.1f} s")
    assert seconds < 25  # its own end: supervisor's, bluegreen_stop_timeout, is 30 s or more


def has_read(port: int, client: socket.socket) -> bool:
    """Whether the program has taken what the client has sent: nothing waits in the kernel."""
    pair = f"0100007F:{port:04X} 0100007F:{client.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return any(row[1:3] == pair.split() and row[4].endswith(":00000000") for row in rows)


class Client(threading.Thread):
    """A WebSocket that says something now and then, as nginx ends it else, until the server says goodbye; the goodbye's code."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.code = 0
        self._socket = websocket.create_connection(f"ws://127.0.0.1:{port}/ws", timeout=5)
        self.start()

    def run(self) -> None:
        with contextlib.closing(self._socket):
            for _ in range(200):
                try:
                    kind, data = self._socket.recv_data()
                except websocket.WebSocketTimeoutException:
                    self._socket.ping()
                    continue
                except (OSError, websocket.WebSocketException):
                    return
                if kind == websocket.ABNF.OPCODE_CLOSE:
                    self.code = int.from_bytes(data[:2], "big")
                    return


def test_nodes_example_takes_a_release_without_a_failed_request(counts: Counts) -> None:
    with installed("node") as found:
        client = Client(found.bed.port)
        second_release(found, "node", counts)
        client.join(30)
        assert client.code == 1012
        stop_in_the_midst_of_a_request(found, "node")


@pytest.mark.full
@pytest.mark.parametrize("example", STORIES)
def test_the_whole_story(example: str, counts: Counts) -> None:
    with installed(example) as found:
        if example == "django":
            sheet = re.findall(r'href="([^"]+)"', found.ask("/")[2])[0]
            (found.app / "books/static/books/shelf.css").write_text("ul { list-style: circle; }\n")
        client = Client(found.bed.port) if example in ("fastapi", "node") else None
        second_release(found, example, counts)
        if client:
            client.join(30)
            assert client.code == 1012
        if example == "django":
            assert sheet not in found.ask("/")[2]
            assert found.ask(sheet)[0] == 200  # a page of the last release finds its style sheet
        broken_release(found, example, counts, "1.1")
        stop_in_the_midst_of_a_request(found, example)


@pytest.mark.full
def test_phps_example_takes_the_second_release_in_place() -> None:
    with project("php") as found:
        masters = []
        for release in ("1", "2"):
            done = found.play("site.yml", "-e", f"bluegreen_release={release}")
            assert done.returncode == 0, done.stdout[-4000:]
            assert found.ask()[:2] == (200, release)
            masters.append(found.bed.supervisorctl("pid", "shop-blue"))
        assert masters[0] == masters[1]
