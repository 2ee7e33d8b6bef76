"""The lease and the fencing token: one run at a time, a dead one's lock ends by itself, a run overtaken is refused."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from ansible.module_utils import basic
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _fence, _files, _hold, _lock
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Member, Nginx, Program

ROOT = Path(__file__).resolve().parents[2]
ANNA: dict[str, Any] = {"user": "anna", "controller": "desk", "pid": 1}
BERT: dict[str, Any] = {"user": "bert", "controller": "ci", "pid": 2}
HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    yield
    _fence.leave()


def test_a_second_run_is_refused_and_told_who_holds_the_lock_and_why(folder: str, clock: Clock) -> None:
    _lock.acquire(folder, ANNA, "release v2", 60, clock=clock)
    with pytest.raises(_lock.Held, match=r"anna@desk \(pid 1\), release v2"):
        _lock.acquire(folder, BERT, "release v3", 60, clock=clock)


def test_a_lease_says_since_when_and_until_when_in_local_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-2")
    time.tzset()
    try:
        lease = _lock.Lease(1, ANNA, "release v2", clock.now - 300, clock.now + 40, clock.now - 20)
        words = _lock.describe(lease, clock.now)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert words == (
        "anna@desk (pid 1), release v2, since 2023-11-15 00:08:20 UTC (5 min ago), until 2023-11-15 00:14:00 UTC (in 40 s) unless it gives a sign of life"
    )


def test_an_owner_with_an_awx_job_is_named_by_user_and_job() -> None:
    assert _lock.who({"user": "anna", "job": "42", "controller": "pod-7", "pid": 9}) == "anna (AWX job 42)"


def test_a_released_lock_is_free_and_its_token_is_never_given_again(folder: str, clock: Clock) -> None:
    first = _lock.acquire(folder, ANNA, "x", 60, clock=clock)
    _lock.release(folder, first.token, clock=clock)
    assert _lock.acquire(folder, BERT, "y", 60, clock=clock).token > first.token


def test_a_dead_owners_lock_ends_by_itself(folder: str, clock: Clock) -> None:
    _lock.acquire(folder, ANNA, "x", 60, clock=clock)
    clock.now += 61
    assert _lock.holder(folder, clock=clock) is None
    assert _lock.acquire(folder, BERT, "y", 60, clock=clock).owner == BERT


def test_a_sign_of_life_keeps_it(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, ANNA, "x", 60, clock=clock)
    for _ in range(5):
        clock.now += 50
        _lock.extend(folder, lease.token, 60, clock=clock)
    assert _lock.holder(folder, clock=clock) == _lock.extend(folder, lease.token, 60, clock=clock)


def test_a_phase_that_begins_on_one_host_does_not_cut_the_time_of_the_others_short(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, ANNA, "x", HOUR, clock=clock)
    assert _lock.extend(folder, lease.token, 600, shorten=False, clock=clock).left(clock.now) == HOUR
    assert _lock.extend(folder, lease.token, 2 * HOUR, shorten=False, clock=clock).left(clock.now) == 2 * HOUR
    assert _lock.extend(folder, lease.token, 60, clock=clock).left(clock.now) == 60


def test_a_run_that_has_the_lock_takes_it_again_with_the_same_token(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, ANNA, "x", 60, clock=clock)
    assert _lock.acquire(folder, ANNA, "y", 600, mine=lease.token, clock=clock).token == lease.token
    assert _lock.acquire(folder, ANNA, "z", 60, mine=lease.token, clock=clock).left(clock.now) == 600
    with pytest.raises(_lock.Held):
        _lock.acquire(folder, BERT, "y", 60, mine=lease.token - 1, clock=clock)


def test_a_run_that_wakes_up_after_another_took_over_is_refused(folder: str, clock: Clock) -> None:
    old = _lock.acquire(folder, ANNA, "x", 60, clock=clock)
    clock.now += 61
    with pytest.raises(Refusal, match="lost its lock"):
        _lock.extend(folder, old.token, 60, clock=clock)
    new = _lock.acquire(folder, BERT, "y", 60, clock=clock)
    with pytest.raises(Refusal, match=r"lost its lock .* now: bert@ci"):
        _lock.extend(folder, old.token, 60, clock=clock)
    _lock.release(folder, old.token, clock=clock)
    assert _lock.holder(folder, clock=clock) == new, "it cannot give away what is another's"


def test_a_clock_that_is_set_back_does_not_make_a_lease_last_for_ever(folder: str, clock: Clock) -> None:
    """It lasts no longer than it was given, counted from when somebody met it."""
    _lock.acquire(folder, ANNA, "x", 60, clock=clock)
    clock.now -= 365 * 24 * HOUR
    with pytest.raises(_lock.Held, match=r"\(0 s ago\), until .* \(in 60 s\)"):
        _lock.acquire(folder, BERT, "y", 60, clock=clock)
    clock.now += 30
    with pytest.raises(_lock.Held, match=r"\(in 30 s\)"):
        _lock.acquire(folder, BERT, "y", 60, clock=clock)
    clock.now += 31
    assert _lock.acquire(folder, BERT, "y", 60, clock=clock).owner == BERT


def test_a_run_whose_lock_hosts_clock_is_set_back_goes_on(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, ANNA, "x", 60, clock=clock)
    clock.now -= 24 * HOUR
    extended = _lock.extend(folder, lease.token, 60, shorten=False, clock=clock)
    assert extended.left(clock.now) == 60
    assert extended.since <= clock.now
    clock.now += 61
    assert _lock.holder(folder, clock=clock) is None


def test_a_broken_lock_is_free_and_the_broken_run_is_told_by_whom_and_why(folder: str, clock: Clock) -> None:
    old = _lock.acquire(folder, BERT, "release v2", 60, clock=clock)
    held_by, left = _lock.end(folder, ANNA, "it hangs\nsince noon", clock=clock) or ("", None)
    assert held_by.startswith("bert@ci (pid 2), release v2, since ")
    assert left and left.token > old.token, "a token that nobody has: every host can be told to refuse the broken run"
    assert _lock.holder(folder, clock=clock) is None
    clock.now += 180
    words = r"this run's lock was broken by anna@desk \(pid 1\) at 2023-11-1\d .* \(3 min ago\): it hangs since noon"
    with pytest.raises(Refusal, match=words):
        _lock.extend(folder, old.token, 60, clock=clock)
    new = _lock.acquire(folder, ANNA, "release v3", 60, clock=clock)
    assert new.token > left.token
    with pytest.raises(Refusal, match=rf"{words}; now: anna@desk \(pid 1\), release v3"):
        _lock.extend(folder, old.token, 60, clock=clock)


def test_breaking_needs_a_reason(folder: str, clock: Clock) -> None:
    lease = _lock.acquire(folder, BERT, "x", 60, clock=clock)
    for reason in ("", " \n"):
        with pytest.raises(Refusal, match="needs a reason"):
            _lock.end(folder, ANNA, reason, clock=clock)
    assert _lock.holder(folder, clock=clock) == lease


def test_there_is_nothing_to_break_where_nobody_holds_the_lock(folder: str, clock: Clock) -> None:
    assert _lock.end(folder, ANNA, "why not", clock=clock) is None
    lease = _lock.acquire(folder, BERT, "x", 60, clock=clock)
    clock.now += 61
    before = Path(folder, "lease.json").read_bytes()
    assert _lock.end(folder, ANNA, "why not", clock=clock) is None
    assert Path(folder, "lease.json").read_bytes() == before
    assert lease.token == 1


NO_LEASE = ["", "\n", "{", "null", "[]", "7", "{}", '"x"', '{"token": 1}', "\0\0\0"]
ODD = {"token": ["1", None, True, 1.5], "owner": [None, "anna"], "until": ["soon", None, float("nan"), float("inf")], "broken": [1]}


@pytest.mark.parametrize("content", NO_LEASE)
def test_a_file_that_is_no_lease_is_refused_by_name_with_what_to_do(folder: str, content: str) -> None:
    Path(folder, "lease.json").write_text(content)
    said = rf"^{folder}/lease\.json is not a lease: .* hotswap\.bluegreen\.unlock"
    for attempt in (
        lambda: _lock.holder(folder),
        lambda: _lock.acquire(folder, ANNA, "x", 60),
        lambda: _lock.extend(folder, 1, 60),
        lambda: _lock.release(folder, 1),
    ):
        with pytest.raises(Refusal, match=said):
            attempt()
    assert Path(folder, "lease.json").read_text() == content, "nobody but a person may say that no run is at work"


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ODD.items() for value in values])
def test_a_lease_with_an_impossible_value_is_none(folder: str, name: str, value: Any) -> None:
    lease = _lock.acquire(folder, ANNA, "x", 60)
    Path(folder, "lease.json").write_text(json.dumps({**lease.__dict__, name: value}))
    with pytest.raises(Refusal, match="is not a lease"):
        _lock.holder(folder)


def test_breaking_mends_a_file_that_is_no_lease_and_its_token_is_above_what_the_host_has_seen(folder: str) -> None:
    Path(folder, "lease.json").write_text("")
    held_by, left = _lock.end(folder, ANNA, "the disk was full", above=41) or ("", None)
    assert held_by == f"{folder}/lease.json is not a lease: ''"
    assert left and left.token == 42
    assert _lock.acquire(folder, BERT, "x", 60).token == 43


def test_a_lease_that_cannot_be_written_leaves_the_last_token_as_it_was(folder: str) -> None:
    """A full disk: here the most a process may write is less than a lease. The same error comes from the same call."""
    lease = _lock.acquire(folder, ANNA, "x", 60)
    before = Path(folder, "lease.json").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        with pytest.raises(Refusal, match=rf"cannot write {folder}/lease\.json: .*\. It is as it was"):
            _lock.extend(folder, lease.token, 600)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert Path(folder, "lease.json").read_bytes() == before
    assert sorted(path.name for path in Path(folder).iterdir()) == [".lease.lock", "lease.json"], "no draft is left"


def test_a_host_that_has_seen_a_younger_run_refuses_the_older_one_and_names_the_younger(folder: str) -> None:
    assert _fence.raise_to(folder, 3) == ""
    assert _fence.raise_to(folder, 3) == ""
    assert _fence.raise_to(folder, 7, "bert@ci (pid 2), release v3\nagain") == ""
    said = "this run (token 3) has been overtaken by a younger one (token 7): bert@ci (pid 2), release v3 again. Nothing more is changed."
    assert _fence.raise_to(folder, 3, "anna") == said
    assert _fence.highest(folder) == (7, "bert@ci (pid 2), release v3 again")
    with pytest.raises(Refusal) as refused:
        _fence.enter(folder, 3)
    assert str(refused.value) == said


def test_a_host_that_was_away_when_the_run_began_learns_its_token_with_the_first_change(folder: str) -> None:
    _fence.enter(folder, 4)
    assert _fence.highest(folder) == (4, "")


@pytest.mark.parametrize("content", ["", "\n", "x", "-1", "\0"])
def test_a_fence_that_holds_no_token_is_refused_by_name(folder: str, content: str) -> None:
    Path(folder, ".fence").write_text(content)
    with pytest.raises(Refusal, match=rf"{folder}/\.fence holds no token: .* remove that file"):
        _fence.enter(folder, 4)


def test_a_fence_on_a_host_without_the_service_says_what_to_run_first(folder: str) -> None:
    for attempt in (lambda: _fence.raise_to(f"{folder}/none", 1), lambda: _lock.acquire(f"{folder}/none", ANNA, "x", 60)):
        with pytest.raises(Refusal, match=rf"{folder}/none.* is not there: run hotswap\.bluegreen\.install on this host first"):
            attempt()


WORKER = """
import sys
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _fence
_fence.enter(sys.argv[1], 1)
print("at work", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def at_work(folder: str) -> Iterator[subprocess.Popen[str]]:
    """A changing call of the run with token 1, which lasts until its standard input ends."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", WORKER, folder], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout and process.stdout.readline() == "at work\n"
            yield process
        finally:
            process.kill()


def test_a_younger_run_begins_only_when_no_call_of_an_older_one_is_at_work(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fence, "PATIENCE", 0.2)
    _fence.raise_to(folder, 1)
    with at_work(folder) as older:
        with pytest.raises(Refusal, match=rf"\.fence\.lock is still locked after 0\.2 s, by pid {older.pid} \(.*\)\. Wait for its end, or end it"):
            _fence.raise_to(folder, 2)
        assert _fence.highest(folder)[0] == 1
        _fence.enter(folder, 1)  # the same run's next call need not wait
        _fence.leave()
    assert _fence.raise_to(folder, 2) == ""


def test_a_call_that_waits_while_a_younger_run_comes_is_refused(folder: str) -> None:
    """Between its first look and the lock it is overtaken."""
    _fence.raise_to(folder, 1)
    handle = _files.open_lock(f"{folder}/.fence.lock")
    fcntl.flock(handle, fcntl.LOCK_EX)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", WORKER, folder], env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as older:
        try:
            _wait_until_it_wants_the_lock(older.pid, handle)
            Path(folder, ".fence").write_text("2 bert\n")
            os.close(handle)
            _, errors = older.communicate(timeout=60)
        finally:
            older.kill()
    assert older.returncode == 1
    assert "overtaken by a younger one (token 2): bert" in errors


def _wait_until_it_wants_the_lock(pid: int, handle: int) -> None:
    inode = os.fstat(handle).st_ino
    deadline = time.monotonic() + 60
    while inode not in _open(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _open(pid: int) -> set[int]:
    """The inodes of its open files; it opens and closes them while we look."""
    found = set()
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(path.stat().st_ino)
    return found


def wish(folder: Path, members: bool = True) -> Wish:
    """The wish of a host: with members it is an app host, without it is only a balancer."""
    member = Member("app1", "blue", {"http": 9502})
    for path in (folder / "srv", folder / "nginx" / "shop"):
        path.mkdir(parents=True, exist_ok=True)
    return Wish(
        "shop",
        "app1",
        str(folder / "srv"),
        "v2",
        (member,) if members else (),
        (member,),
        Program(("x",)),
        Health(),
        nginx=Nginx(state_dir=str(folder / "nginx")),
    )


@pytest.mark.parametrize(("members", "place"), [(True, "srv"), (False, "nginx/shop")])
def test_every_kind_of_host_has_a_fence(tmp_path: Path, members: bool, place: str) -> None:
    _hold.hold(wish(tmp_path, members), 5, keeps_lease=False)
    assert (tmp_path / place / ".fence").read_text() == "5\n"
    _fence.leave()
    _fence.raise_to(str(tmp_path / place), 6)
    for attempt in (_hold.hold, lambda *words, **more: _hold.begin(*words, **more, seconds=600)):
        with pytest.raises(Refusal, match="overtaken"):
            attempt(wish(tmp_path, members), 5, keeps_lease=False)


def test_a_call_without_a_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"needs the run's lock: run hotswap\.bluegreen\.lock first"):
        _hold.hold(wish(tmp_path), 0, keeps_lease=False)


def module(arguments: Mapping[str, Any], check: bool = False) -> dict[str, Any]:
    """What the module hotswap.bluegreen.lock answers, run as on a target."""
    answer = io.StringIO()
    given = {**arguments, "_ansible_check_mode": check, "_ansible_remote_tmp": "/tmp", "_ansible_keep_remote_files": False}
    with (
        mock.patch.object(basic, "_ANSIBLE_ARGS", json.dumps({"ANSIBLE_MODULE_ARGS": given}).encode()),
        mock.patch.object(basic, "_ANSIBLE_PROFILE", "legacy", create=True),  # ansible-core 2.19 and later: its patch_module_args does this, too
        contextlib.redirect_stdout(answer),
        contextlib.suppress(SystemExit),
    ):
        runpy.run_path(str(ROOT / "plugins" / "modules" / "lock.py"), run_name="__main__")
    return dict(json.loads(answer.getvalue()))


def test_the_module_in_check_mode_names_the_holder_and_writes_nothing(tmp_path: Path) -> None:
    arguments = {"wish": dump(wish(tmp_path)), "reason": "release v3", "owner": BERT}
    assert module(arguments, check=True)["held_by"] == ""
    assert module({**arguments, "owner": ANNA})["lease"]["token"] == 1
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for state in ("held", "seen", "released", "broken", "fenced"):
        told = module({**arguments, "state": state, "token": 9}, check=True)
        assert told["held_by"].startswith("anna@desk (pid 1), release v3, since ")
        assert told["changed"] == (state == "broken")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_module_breaks_a_lock_for_a_reason_and_says_whose(tmp_path: Path) -> None:
    arguments = {"wish": dump(wish(tmp_path)), "owner": ANNA}
    told = module({**arguments, "state": "broken", "reason": "it hangs"})
    assert (told["changed"], told["lease"], told["held_by"]) == (False, {}, "")
    module({**arguments, "owner": BERT, "reason": "release v2"})
    assert "needs a reason" in module({**arguments, "state": "broken"})["msg"]
    told = module({**arguments, "state": "broken", "reason": "it hangs"})
    assert told["changed"] and told["held_by"].startswith("bert@ci (pid 2), release v2, since ")
    assert "broken by anna@desk (pid 1)" in module({**arguments, "state": "extended", "token": 1})["msg"]


def test_a_lock_host_that_forgot_its_tokens_goes_on_above_what_it_has_seen(tmp_path: Path) -> None:
    arguments = {"wish": dump(wish(tmp_path)), "owner": ANNA, "reason": "release v2"}
    assert module({**arguments, "state": "fenced", "token": 41})["highest"] == 41
    assert module(arguments)["lease"]["token"] == 42


def test_a_run_that_meets_a_host_with_a_higher_token_is_told_and_may_go_above_it_while_it_holds_the_lock(tmp_path: Path) -> None:
    """Another balancer keeps the lock than did before: the hosts remember higher tokens than it ever gave."""
    there, here = ({"wish": dump(wish(tmp_path / name)), "owner": ANNA, "reason": "release v2"} for name in ("app2", "lb1"))
    module({**there, "state": "fenced", "token": 41, "owner": BERT})
    taken = module(here)["lease"]["token"]
    told = module({**there, "state": "fenced", "token": taken})
    assert (told["highest"], told["overtaken"].split(". ")[0]) == (
        41,
        "this run (token 1) has been overtaken by a younger one (token 41): bert@ci (pid 2), release v2",
    )
    raised = module({**here, "state": "extended", "token": taken, "above": told["highest"]})["lease"]["token"]
    assert raised == 42
    assert module({**there, "state": "fenced", "token": raised})["overtaken"] == ""


def contend(folder: Path, number: int, gate: Any, answers: Any, dead: int) -> None:
    """One of two controllers' modules: both begin at the same moment."""
    name = f"run{number}"
    arguments = {"wish": dump(wish(folder)), "reason": f"release by {name}", "owner": {"user": name, "controller": "desk", "pid": number}, "dead": dead}
    gate.wait(60)
    answers.put((name, module(arguments)))


@pytest.mark.parametrize("kind", ["free", "dead"])
def test_of_two_owners_at_the_same_moment_exactly_one_works_and_the_other_names_it(tmp_path: Path, kind: str) -> None:
    """50 times in all: two processes with the module and one file, half of them to take over from the same dead run."""
    fork = multiprocessing.get_context("fork")
    for number in range(25):
        folder = tmp_path / str(number)
        dead = module({"wish": dump(wish(folder)), "owner": BERT, "reason": "dead"})["lease"]["token"] if kind == "dead" else 0
        gate, answers = fork.Barrier(2), fork.SimpleQueue()
        processes = [fork.Process(target=contend, args=(folder, n, gate, answers, dead)) for n in (1, 2)]
        try:
            for process in processes:
                process.start()
            told = dict(answers.get() for _ in processes)
        finally:
            for process in processes:
                process.join(60)
                process.kill()
        winner, loser = sorted(told, key=lambda name: bool(told[name]["held_by"]))
        assert told[winner]["held_by"] == "", told
        assert told[loser]["held_by"].startswith(f"{winner}@desk (pid {winner[-1]}), release by {winner}, since "), told
        kept = json.loads((folder / "nginx" / "shop" / "lease.json").read_text())
        assert (kept["owner"]["user"], kept["token"]) == (winner, dead + 1)


def test_the_module_never_answers_with_a_traceback_for_a_broken_file(tmp_path: Path) -> None:
    arguments = {"wish": dump(wish(tmp_path)), "owner": ANNA, "reason": "x", "token": 1}
    (tmp_path / "nginx" / "shop" / "lease.json").write_text("")
    (tmp_path / "srv" / ".fence").write_text("")
    for state in ("held", "extended", "released", "seen", "broken", "fenced"):
        told = module({**arguments, "state": state})
        assert told["failed"] and "exception" not in told
        assert ("/lease.json is not a lease" in told["msg"]) or ("/.fence holds no token" in told["msg"]), told
