"""The canary's log, as a real nginx writes it: every answer counts once, for its side, whatever becomes of the file in between."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _answers
from ansible_collections.hotswap.bluegreen.plugins.module_utils._answers import Answers, Side
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._tally import upper

from tools import bed as beds

KIND = """map $request_uri $side { default ""; "~side=(?<wished>[a-z]+)" $wished; }
log_format answers '$msec $side $status $upstream_status $upstream_response_time';"""


class Host(beds.BalancerBed):
    """nginx before an application, which is nginx, too: its paths are what it answers."""

    def start_nginx(self) -> None:
        self.application, self.dead = beds.free_ports(2)
        (self.path / "conf.d" / "answers.conf").write_text(f"""{KIND}
upstream good {{ server 127.0.0.1:{self.application}; }}
upstream half {{ server 127.0.0.1:{self.dead}; server 127.0.0.1:{self.application} backup; }}
server {{
    listen 127.0.0.1:{self.port};
    access_log {self.log} answers;
    location / {{ proxy_pass http://good; }}
    location = /second {{ proxy_pass http://half/ok; }}
    location = /nobody {{ proxy_pass http://127.0.0.1:{self.dead}; }}
    location = /own {{ return 503; }}
    location = /masked {{ proxy_pass http://good/broken; proxy_intercept_errors on; error_page 500 =200 /sorry; }}
    location = /sorry {{ return 200 sorry; }}
}}
server {{
    listen 127.0.0.1:{self.application};
    location / {{ return 200 ok; }}
    location = /broken {{ return 500; }}
    location = /missing {{ return 404; }}
    location = /elsewhere {{ add_header X-Accel-Redirect /broken; return 200; }}
}}
""")
        super().start_nginx()

    @property
    def log(self) -> Path:
        return self.path / "canary.log"

    def lines(self) -> int:
        return len(self.log.read_bytes().splitlines()) if self.log.exists() else 0

    def ask(self, *paths: str, side: str = "new") -> None:
        """One request each; nginx has written its line of them when this is over."""
        before = self.lines()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        for path in paths:
            connection.request("GET", f"/{path}?side={side}")
            connection.getresponse().read()
        connection.close()
        beds.wait_until(lambda: self.lines() == before + len(paths), what="the lines of all answers")


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with beds.temporary(Host) as host:
        assert isinstance(host, Host)
        yield host


class Looks:
    """Look after look, as a canary does: each goes on where the one before ended, through JSON."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.mark: dict[str, int] = _answers.end(str(log))

    def look(self) -> Answers:
        found = _answers.read(str(self.log), self.mark)
        self.mark = json.loads(json.dumps(found.mark))
        return found

    def side(self, name: str = "new") -> Side:
        return self.look().sides.get(name, Side())


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("ok", Side(1, 0, {"2xx": 1})),
        ("missing", Side(1, 0, {"4xx": 1})),
        ("broken", Side(1, 1, {"5xx": 1})),
        ("nobody", Side(1, 1, {"5xx": 1})),
        ("own", Side(1, 1, {"5xx": 1})),
        ("masked", Side(1, 1, {"2xx": 1})),
        ("second", Side(1, 0, {"2xx": 1})),
        ("elsewhere", Side(1, 1, {"5xx": 1})),
    ],
)
def test_what_the_client_got_and_what_the_last_member_said_make_an_error(host: Host, path: str, expected: Side) -> None:
    looks = Looks(host.log)
    host.ask(path)
    found = looks.side()
    assert (found.answers, found.errors, found.classes) == (expected.answers, expected.errors, expected.classes), host.log.read_text()
    assert sum(found.times.values()) == expected.answers - expected.errors, "errors say nothing of how fast a release is"


def test_each_answer_counts_once_for_its_side_and_testers_for_none(host: Host) -> None:
    looks = Looks(host.log)
    host.ask("ok", "broken", "ok")
    host.ask("ok", "ok", side="old")
    host.ask("broken", side="test")
    host.ask("broken", side="")
    sides = looks.look().sides
    assert {name: (side.answers, side.errors) for name, side in sides.items()} == {"new": (3, 1), "old": (2, 0)}
    assert looks.side() == Side()


def test_a_log_that_is_rotated_while_nginx_goes_on_is_read_from_its_new_beginning(host: Host) -> None:
    _answers.empty(str(host.log))
    looks = Looks(host.log)
    host.ask("ok")
    assert looks.side().answers == 1
    host.log.rename(host.path / "canary.log.1")
    os.kill(host.nginx_pid, signal.SIGUSR1)
    beds.wait_until(host.log.exists, what="nginx's new log")
    host.ask("broken", "ok", "ok")
    assert host.log.stat().st_size > looks.mark["offset"], "its size alone would not tell"
    found = looks.side()
    assert (found.answers, found.errors) == (3, 1)


def test_an_emptied_log_goes_on_at_its_beginning(host: Host) -> None:
    host.ask("ok", "ok", "ok")
    looks = Looks(host.log)
    _answers.empty(str(host.log))
    assert host.log.stat().st_size == 0
    host.ask("broken")
    assert host.log.read_bytes().count(b"\0") == 0, "nginx appends: there is no hole"
    assert looks.side().errors == 1


def test_a_slow_answer_is_found_in_its_bucket(host: Host) -> None:
    looks = Looks(host.log)
    with host.log.open("a") as log:
        log.write(f"{time.time():.3f} new 200 200 0.212\n{time.time():.3f} new 200 502, 200 0.100, 0.500\n{time.time():.3f} new 101 101 3600.000\n")
    slow = sorted(upper(int(bucket)) for bucket in looks.side().times)
    assert [0.212 <= slow[0] < 0.22, 0.6 <= slow[1] < 0.62, len(slow)] == [True, True, 2], "a WebSocket's hour is no answer's time"


# What no nginx can be made to do at a wish.


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    log = tmp_path / "canary.log"
    log.write_text("1.000 new 200 200 0.0")
    looks = Looks(log)
    looks.mark = {}
    assert looks.side() == Side()
    with log.open("a") as file:
        file.write("10\n")
    assert looks.side().answers == 1


def test_what_is_no_line_of_ours_is_no_answer(tmp_path: Path) -> None:
    log = tmp_path / "canary.log"
    log.write_bytes(b"\n\xff\xfe\n1.0 new\n1.0 new 200 200 0.1 more\n1.0 mad 200 200 0.1\nnew 200 200 0.1\n1.0 new 200 - -\n")
    found = _answers.read(str(log)).sides["new"]
    assert (found.answers, found.times) == (1, {})


def test_a_log_that_is_not_there_has_no_answers_and_is_not_made(tmp_path: Path) -> None:
    log = tmp_path / "canary.log"
    assert _answers.read(str(log), {"inode": 1, "offset": 5}) == Answers(mark={"inode": 1, "offset": 5})
    assert _answers.end(str(log)) == {}
    _answers.empty(str(log))
    assert not log.exists()


def test_a_flood_is_read_in_pieces_and_it_is_said_how_much_is_left(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_answers, "_MOST", 1000)
    log = tmp_path / "canary.log"
    log.write_text("1700000000.123 old 200 200 0.010\n" * 100)
    looks = Looks(log)
    looks.mark = {}
    first = looks.look()
    assert (first.sides["old"].answers, first.left) == (30, 2300)
    rest = [looks.look() for _ in range(3)]
    assert [one.sides["old"].answers for one in rest] == [30, 30, 10]
    assert rest[-1].left == 0
    whole = first.sides["old"] + rest[0].sides["old"] + rest[1].sides["old"] + rest[2].sides["old"]
    assert (whole.answers, whole.classes, sum(whole.times.values())) == (100, {"2xx": 100}, 100)


def test_a_line_that_never_ends_holds_nothing_up(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_answers, "_MOST", 1000)
    log = tmp_path / "canary.log"
    log.write_text("x" * 2500 + "\n1.0 new 200 200 0.1\n")
    looks = Looks(log)
    looks.mark = {}
    assert sum(looks.side().answers for _ in range(4)) == 1


def test_a_large_log_is_emptied_once_it_was_read(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_answers, "_LARGEST", 1000)
    log = tmp_path / "canary.log"
    log.write_text("1700000000.123 old 200 200 0.010\n" * 100)
    looks = Looks(log)
    looks.mark = {}
    assert looks.side("old").answers == 100
    assert log.stat().st_size == 0
    with log.open("a") as file:
        file.write("1700000000.123 old 200 200 0.010\n")
    assert looks.side("old").answers == 1
