"""What a host keeps of its swaps and tells syslog: which line when, that no value can forge one, and the datagram itself."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _account, _syslog
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Step, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member, Program
from hypothesis import example, given
from hypothesis import strategies as st

MEMBERS = (Member("app1", "blue", {"http": 9502}), Member("app1", "green", {"http": 9503}))
WISH = Wish("shop", "app1", "/srv/shop", "v2", MEMBERS, MEMBERS, Program(("true",)), balancers=("app1",))
BLUE = "app1/blue"


def did(name: str, at: float, outcome: str = "ok", seconds: float = 1.0, release: str = "v2", restore: bool = False, member: str = BLUE) -> tuple[Step, Event]:
    return Step(name, "app1", (member,), release, restore), Event(name, member, outcome, at, seconds, "said so", "app1")


STEPS = tuple(name for name in _account.ORDER if name not in ("goodbye", "reload", "shift"))
SWAP = [did(name, 100.0 + number) for number, name in enumerate(STEPS)]


def test_an_entry_has_the_seconds_of_each_step_and_the_release_of_before() -> None:
    found = _account.after({}, SWAP, {BLUE: "v1"})

    assert found == {BLUE: {"began": 100.0, "ended": 107.0, "previous": "v1", "steps": dict.fromkeys(STEPS, 1.0)}}


def test_a_swap_that_is_told_in_several_calls_is_one() -> None:
    half = _account.after({}, [*SWAP[:1], did("drain", 101.0, "waiting")], {BLUE: "v1"})

    assert _account.after(half, SWAP[1:], {BLUE: "v1"}) == _account.after({}, SWAP, {BLUE: "v1"})


def test_the_next_swap_begins_a_new_entry_and_so_does_the_way_back() -> None:
    first = _account.after({}, SWAP[:6], {BLUE: "v1"})

    back = _account.after(first, [did("stop", 200.0)], {BLUE: "v2"})
    assert back[BLUE] == {"began": 200.0, "ended": 201.0, "previous": "v2", "steps": {"stop": 1.0}}


def told(done: list[tuple[Step, Event]], failure: Failure | None = None, wish: Wish = WISH) -> list[str]:
    swaps = _account.after({}, done, {BLUE: "v1"})
    return [text for text, _severity in _account.lines(wish, done, failure, swaps, "ann@pc (pid 7), release v2")]


def test_a_swap_ends_in_one_line() -> None:
    assert told(SWAP) == ['event=swap service=shop member=app1/blue release=v2 previous=v1 result=ok seconds=7.000 by="ann@pc (pid 7), release v2"']
    assert told(SWAP[:6]) == []


def test_behind_other_balancers_it_ends_with_the_check_on_its_own_host_and_they_tell_nothing() -> None:
    behind = replace(WISH, pool=(), balancers=("lb1", "lb2"))
    assert len(told(SWAP[2:6], wish=behind)) == 1

    balancer = replace(WISH, host="lb1", members=(), balancers=())
    assert told([*SWAP[:2], SWAP[6]], wish=balancer) == []


def test_a_release_that_was_taken_in_place_ends_with_the_check_though_no_balancer_is_told() -> None:
    assert len(told([did(name, 1.0) for name in ("point", "reload", "check")])) == 1


def test_a_failure_is_told_with_step_and_reason_and_a_put_back_as_such() -> None:
    failed = told([*SWAP[:5], did("check", 105.0, "failed")], Failure(BLUE, "check", "200", "said so", (), "app1"))
    assert len(failed) == 1
    assert 'result=failed step=check seconds=6.000 by="ann@pc (pid 7), release v2" why="said so"' in failed[0]

    back = told([did("check", 105.0, restore=True, release="v1"), did("enable", 106.0, restore=True, release="v1")])
    assert len(back) == 1 and 'release=v1 previous=v1 result="put back"' in back[0]


def test_of_several_members_in_a_step_that_failed_the_one_at_fault_is_told() -> None:
    step = Step("enable", "app1", (BLUE, "app1/green"), "v2")
    event = Event("enable", step.member, "failed", 1.0, 1.0, "500", "app1")

    assert len(told([(step, event)], Failure("app1/green", "enable", "200", "500", (), "app1"))) == 1
    assert len(told([(step, event)], Failure("", "enable", "200", "500", (), "app1"))) == 2


def test_a_wait_that_goes_on_is_no_end() -> None:
    assert told([did("enable", 1.0, "waiting")]) == []


def test_what_cannot_be_kept_ends_nothing(tmp_path: Path) -> None:
    _account.note(replace(WISH, root=str(tmp_path / "gone")), SWAP, None, {})


GOOD = {"began": 1.0, "ended": 2.0, "previous": "", "steps": {}}
WRONG = ('{"app1/blue"', "[]", *(json.dumps({BLUE: {**GOOD, **change}}) for change in ({"steps": 1}, {"steps": {"x": 1}}, {"began": "1"}, {"previous": None})))


@pytest.mark.parametrize("text", ["5", '{"app1/blue": 5}', *WRONG])
def test_a_file_that_was_torn_or_edited_is_written_anew(tmp_path: Path, text: str) -> None:
    wish = replace(WISH, root=str(tmp_path))
    Path(_account.path(wish)).write_text(text)

    assert _account.read(wish) == {}
    _account.note(wish, SWAP, None, {})
    assert _account.read(wish)[BLUE]["ended"] == 107.0


def test_a_step_that_was_refused_changes_nothing_of_what_is_told_of_the_last_swap(tmp_path: Path) -> None:
    wish = replace(WISH, root=str(tmp_path))
    _account.note(wish, SWAP, None, {})
    before = Path(_account.path(wish)).stat().st_mtime_ns

    _account.note(wish, [did("switch", 90_000.0, "failed")], Failure("", "switch", "2 serve", "1 would", (), "app1"), {})
    assert Path(_account.path(wish)).stat().st_mtime_ns == before


def test_members_that_are_no_more_are_forgotten(tmp_path: Path) -> None:
    wish = replace(WISH, root=str(tmp_path))
    _account.note(wish, SWAP, None, {})

    _account.note(replace(wish, members=MEMBERS[1:], pool=MEMBERS[1:]), [did("switch", 300.0, member="app1/green")], None, {})
    assert set(_account.read(wish)) == {"app1/green"}


# A small reader of logfmt, to hold the writer against
_FIELD = re.compile(r'([a-z]+)=("(?:[^"\\]|\\.)*"|[^ "]+)(?: |\Z)')


def read(line: str) -> dict[str, str]:
    found = _FIELD.findall(line)
    assert "".join(f"{name}={value} " for name, value in found).rstrip() == line
    return {name: json.loads(value) if value.startswith('"') else value for name, value in found}


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=200))
@example("v1\nNov 21 00:00:00 bluegreen[1]: event=swap")
@example('v1" result="ok')
@example("\x7f\x1b[31m")
def test_no_value_can_look_like_a_field_or_a_line(value: str) -> None:
    line = _syslog.line("swap", service="shop", release=value, result="ok")

    assert read(line) == {"event": "swap", "service": "shop", "release": value, "result": "ok"}
    assert line.isascii() and line.isprintable()


def test_a_long_value_is_cut() -> None:
    assert len(_syslog.line("swap", why="x" * 100_000)) < 600


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.settimeout(5)
        monkeypatch.setattr(_syslog, "ADDRESS", str(tmp_path / "log"))
        yield listener


def test_a_line_arrives_as_rfc_3164_says(syslog: socket.socket) -> None:
    _syslog.send("event=reload service=shop", _syslog.WARNING)

    assert re.fullmatch(
        rb"<28>(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 123]\d \d\d:\d\d:\d\d bluegreen\[\d+\]: event=reload service=shop", syslog.recv(999)
    )


def test_a_syslog_that_listens_on_a_stream_gets_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_syslog, "ADDRESS", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.listen()
        _syslog.send("event=swap")
        connection = listener.accept()[0]
        with connection:
            assert connection.recv(999).endswith(b"]: event=swap\0")


def test_without_a_syslog_or_with_one_that_is_full_nothing_fails_and_nothing_waits(syslog: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    for _number in range(2000):  # nobody reads: net.unix.max_dgram_qlen is 10 to 512
        _syslog.send("event=swap")

    monkeypatch.setattr(_syslog, "ADDRESS", "/nowhere/log")
    _syslog.send("event=swap")
