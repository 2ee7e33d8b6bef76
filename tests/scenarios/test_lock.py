"""One run at a time, with real controllers: contested, waited for, under --limit, broken, overtaken, released when a stage fails.

A build that waits for a file holds a run where it has the lock, however slow the machine is.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes

from tests.scenarios import plays
from tools import bed as beds

LOCAL = {"ansible_connection": "local", "ansible_python_interpreter": beds.TARGET}
NOBODY_ANSWERS = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_timeout": 5}
PREFLIGHT: dict[str, Any] = {"hotswap.bluegreen.preflight": {}}


@dataclass
class Fleet:
    """Two hosts of one service, each its own balancer; app1 is the first and keeps the lock."""

    path: Path
    hosts: dict[str, beds.Bed]
    others: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def lease(self) -> dict[str, Any]:
        return dict(json.loads((self.hosts["app1"].path / "bluegreen" / "shop" / "lease.json").read_text()))

    def fence(self, host: str) -> str:
        return (self.hosts[host].path / "srv" / ".fence").read_text()

    @property
    def is_free(self) -> bool:
        return bool(self.lease["until"] <= time.time())

    def command(self, playbook: str, *words: str, **extra: Any) -> list[str]:
        inventory = self.path / "inventory.yml"
        hosts = {**{name: bed.variables for name, bed in self.hosts.items()}, **self.others}
        variables = {**LOCAL, **plays.RELEASE, "bluegreen_group": "app"}
        draft = inventory.with_suffix(".new")
        draft.write_text(json.dumps({"app": {"vars": variables, "hosts": hosts}}))
        draft.replace(inventory)  # another controller may be reading it
        values = json.dumps({f"bluegreen_{name}": value for name, value in extra.items()})
        return [str(Path(beds.PYTHON).parent / "ansible-playbook"), "-i", str(inventory), playbook, "-e", values, *words]

    def run(self, playbook: str, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            self.command(playbook, *words, **extra),
            cwd=self.path, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        print(result.stdout, result.stderr)
        return result

    def release(self, name: str, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        return self.run("hotswap.bluegreen.release", *words, release=name, **extra)

    def unlock(self, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        return self.run("hotswap.bluegreen.unlock", *words, **extra)

    def running(self, host: str) -> set[str]:
        """The releases of a host's slots."""
        return {os.readlink(self.hosts[host].path / "srv" / slot / "current") for slot in ("blue", "green")}

    def pictures(self) -> list[Any]:
        return [(plays.picture(bed, folders=False), plays.pids(bed)) for bed in self.hosts.values()]


@dataclass
class Run:
    """A controller that is under way; ``output`` is what it has printed so far."""

    process: subprocess.Popen[str]
    path: Path

    @property
    def output(self) -> str:
        return self.path.read_text()

    @property
    def name(self) -> str:
        return f"{getpass.getuser()}@{os.uname().nodename} (pid {self.process.pid})"

    def until(self, words: str) -> None:
        beds.wait_until(lambda: words in self.output or self.process.poll() is not None, 120, f"{words!r} of a run")
        assert words in self.output, self.output

    def end(self) -> int:
        status = self.process.wait(120)
        print(self.output)
        return status

    def family(self) -> list[int]:
        """The controller and its workers, not the modules below them, which with a real host are elsewhere."""
        return [self.process.pid, *_processes.children(self.process.pid)]


@contextlib.contextmanager
def under_way(fleet: Fleet, name: str, *words: str, **extra: Any) -> Iterator[Run]:
    """``release.yml`` in a process of its own, which is gone at the end."""
    path = fleet.path / f"{name}.out"
    with path.open("w") as output:
        command = fleet.command("hotswap.bluegreen.release", *words, release=name, **extra)
        process = subprocess.Popen(
            command,
            cwd=fleet.path,
            env=beds.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield Run(process, path)
    finally:
        for pid in _processes.tree(process.pid):  # its workers have sessions of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(30)


@dataclass(frozen=True)
class Gate:
    """A build that begins by saying so and ends when it may."""

    path: Path

    @property
    def build(self) -> dict[str, Any]:
        script = f"touch {self.path}.reached; while test -d {self.path.parent} && ! test -e {self.path}; do sleep 0.05; done"
        return {"build": ["sh", "-c", script], "build_timeout": 1000}

    def wait(self, run: Run) -> None:
        reached = Path(f"{self.path}.reached")
        beds.wait_until(lambda: reached.exists() or run.process.poll() is not None, 120, "a build")
        assert reached.exists(), run.output

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def gate() -> Iterator[Gate]:
    with tempfile.TemporaryDirectory(prefix="bg-gate-") as folder:
        Path(folder).chmod(0o777)
        gate = Gate(Path(folder) / "open")
        yield gate
        gate.open()


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        fleet = Fleet(folder, {name: stack.enter_context(beds.Bed(folder / name)) for name in ("app1", "app2")})
        assert fleet.run("hotswap.bluegreen.install").returncode == 0
        assert fleet.release("v1").returncode == 0
        yield fleet


@pytest.mark.parametrize("attempt", [1, *(pytest.param(number, marks=pytest.mark.full) for number in (2, 3))])
def test_of_two_controllers_at_the_same_moment_exactly_one_works_and_the_other_names_it(fleet: Fleet, gate: Gate, attempt: int) -> None:
    names = (f"this{attempt}", f"that{attempt}")
    with contextlib.ExitStack() as stack:
        runs = {name: stack.enter_context(under_way(fleet, name, "--limit", "app1", **gate.build)) for name in names}
        beds.wait_until(lambda: any(run.process.poll() is not None for run in runs.values()), 120, "the end of the one that is refused")
        gate.open()
        status = {name: run.end() for name, run in runs.items()}

    winner, loser = sorted(names, key=lambda name: status[name])
    assert status[winner] == 0 and status[loser] != 0
    assert re.search(rf"another run holds the lock of shop: {re.escape(runs[winner].name)}, release {winner}, since .* ago\), until ", runs[loser].output)
    assert fleet.running("app1") == {winner}
    assert not list(fleet.hosts["app1"].path.glob(f"srv/**/*{loser}*")), "nothing of the other was begun"
    assert fleet.is_free


def test_a_run_that_is_given_time_waits_for_the_other_and_then_works(fleet: Fleet, gate: Gate) -> None:
    with under_way(fleet, "first", "--limit", "app1", **gate.build) as first:
        gate.wait(first)
        with under_way(fleet, "second", "--limit", "app1", lock_timeout=250) as second:
            second.until("waiting for the lock of shop, for ")
            assert re.search(rf"for \d+ s more: {re.escape(first.name)}, release first, since", second.output)
            gate.open()
            assert first.end() == 0
            assert second.end() == 0
    assert fleet.running("app1") == {"second"}


def test_two_runs_for_different_hosts_of_the_fleet_collide_and_a_check_names_the_one_at_work(fleet: Fleet, gate: Gate) -> None:
    """The lock's host is in neither: it does not follow the --limit. It is held for as long as staging elsewhere may take."""
    with under_way(fleet, "one", "--limit", "app2", **gate.build) as one:
        gate.wait(one)
        lease = fleet.lease
        assert lease["until"] - lease["touched"] == pytest.approx(3 * 1000 + 600)
        before = fleet.pictures()
        began = time.monotonic()
        other = fleet.release("other", "--limit", "app1", lock_timeout=0.5)
        assert time.monotonic() - began > 0.5
        assert other.returncode != 0 and f"another run holds the lock of shop: {one.name}, release one" in other.stdout
        check = fleet.release("other", "--check", "--limit", "app1")
        assert check.returncode == 0 and f"the lock is held: {one.name}, release one" in check.stdout
        assert fleet.pictures() == before
        assert fleet.lease == lease
        gate.open()
        assert one.end() == 0
    assert fleet.is_free


def test_a_run_that_was_thought_dead_and_wakes_up_is_refused_by_the_host_and_changes_nothing(fleet: Fleet) -> None:
    """It had taken a member out; its lock is broken, another run completes, and then it goes on."""
    with under_way(fleet, "sleeper", "--limit", "app2", environment={"BOOT_SECONDS": "4"}) as sleeper:
        sleeper.until("app2/green  check   waiting")
        for pid in sleeper.family():
            os.kill(pid, signal.SIGSTOP)

        checked = fleet.unlock("--check", unlock_reason="only asking")
        assert plays.changed(checked) == 1 and not fleet.is_free
        broken = fleet.unlock(unlock_reason="its controller hangs")
        assert broken.returncode == 0 and plays.changed(broken) == 1
        assert f"broke the lock of {sleeper.name}, release sleeper, since " in broken.stdout
        assert fleet.is_free
        for host in ("app1", "app2"):
            assert re.search(r"^\d+ .* broke the lock of the run with token \d+: its controller hangs$", fleet.fence(host)), "no host waits for the next run"

        assert fleet.release("awake", "--limit", "app2").returncode == 0
        before = fleet.pictures()
        for pid in sleeper.family():
            os.kill(pid, signal.SIGCONT)
        assert sleeper.end() != 0
    overtaken = r"app2: this run \(token \d+\) has been overtaken by a younger one \(token \d+\): .*, release awake, after .* broke the lock"
    lost = r"the run's lock could not be kept: app1: this run's lock was broken by "  # where its next sign of life is due before its next step
    assert re.search(f"{overtaken}|{lost}", sleeper.output)
    assert "its controller hangs" in sleeper.output
    assert fleet.pictures() == before
    assert fleet.running("app2") == {"awake"}


def test_unlocking_needs_a_reason_and_changes_nothing_where_nobody_holds_the_lock(fleet: Fleet) -> None:
    books = [{"import_playbook": "hotswap.bluegreen.unlock", "vars": {"bluegreen_unlock_reason": reason}} for reason in ("to be sure", " ")]
    path = fleet.path / "unlock-twice.yml"
    path.write_text(json.dumps(books))
    before = fleet.lease
    result = fleet.run(str(path))
    assert "nobody holds the lock" in result.stdout and plays.changed(result) == 0
    assert result.returncode != 0 and "breaking a lock needs a reason" in result.stdout
    assert fleet.lease == before


def test_an_order_reaches_the_run_that_has_the_lock_and_without_one_it_is_said_what_to_do_instead(fleet: Fleet) -> None:
    ordered = {"state": "ordered", "order": "promote", "seconds": 0.1}
    tasks = [
        {"hotswap.bluegreen.lock": {"reason": "release v9"}},
        {"hotswap.bluegreen.lock": ordered},
        {"hotswap.bluegreen.lock": ordered, "check_mode": True},
        {"name": "Without a reason", "hotswap.bluegreen.lock": {"state": "ordered", "order": "abort"}, "ignore_errors": True},
        {"hotswap.bluegreen.lock": {"state": "released"}},
    ]
    path = fleet.path / "orders.yml"
    after = {"import_playbook": "hotswap.bluegreen.abort", "vars": {"bluegreen_reason": "old prices"}}
    path.write_text(json.dumps([{"hosts": "app", "gather_facts": False, "tasks": [PREFLIGHT, *tasks]}, after]))
    result = fleet.run(str(path), release="v9")
    assert re.search(r"was told to promote its canary: .*, release v9, since .*\. It has not heard within 0.1 s: it does so while", result.stdout)
    assert re.search(r"the lock is held: .*, release v9, since ", result.stdout)
    said = plays.failures(result)
    assert "ending a canary needs a reason" in said["Without a reason"]
    assert "no run is at work on shop, so there is nobody to tell." in said["Tell the run that has the lock to go back"]
    assert fleet.is_free
    assert not list(fleet.path.rglob("order.json"))


def test_the_lock_of_a_run_that_was_killed_is_taken_over_at_once(fleet: Fleet, gate: Gate) -> None:
    with under_way(fleet, "killed", "--limit", "app1", **gate.build) as killed:
        gate.wait(killed)
        os.killpg(killed.process.pid, signal.SIGKILL)
        killed.process.wait(30)
        gate.open()
        assert not fleet.is_free
        after = fleet.release("v2", "--limit", "app1")
    assert after.returncode == 0
    assert f"the run that has the lock of shop is gone, it is taken over: {killed.name}, release killed" in after.stdout


def test_a_stage_that_fails_releases_the_lock(fleet: Fleet) -> None:
    before = [plays.pids(bed) for bed in fleet.hosts.values()]
    failed = fleet.release("bad", build="false")
    assert failed.returncode != 0 and "bluegreen_build" in failed.stdout
    assert fleet.is_free
    assert [plays.pids(bed) for bed in fleet.hosts.values()] == before


def own_play(fleet: Fleet, *tasks: Mapping[str, Any], **play: Any) -> str:
    return plays.book(fleet.path, {"hosts": "app", "tasks": list(tasks), **play})


def test_a_stage_that_fails_on_one_host_in_a_play_of_the_users_own_releases_the_lock_and_ends_the_play(fleet: Fleet) -> None:
    before = [plays.pids(bed) for bed in fleet.hosts.values()]
    book = own_play(fleet, {"hotswap.bluegreen.swap": {}}, roles=["hotswap.bluegreen.release"])
    failed = fleet.run(book, release="bad2", build="test {{ inventory_hostname }} = app1")
    assert failed.returncode != 0
    assert "The release could not be staged on app2" in failed.stdout
    assert "TASK [hotswap.bluegreen.swap]" not in failed.stdout
    assert fleet.is_free
    assert [plays.pids(bed) for bed in fleet.hosts.values()] == before


def test_no_host_is_swapped_if_one_has_failed_to_stage_and_the_play_goes_on(fleet: Fleet) -> None:
    before = [plays.pids(bed) for bed in fleet.hosts.values()]
    tasks = ({"hotswap.bluegreen.lock": {"until": "swap"}}, {"hotswap.bluegreen.stage": {}}, {"name": "Swap", "hotswap.bluegreen.swap": {}})
    failed = fleet.run(own_play(fleet, PREFLIGHT, *tasks), release="bad3", build="test {{ inventory_hostname }} = app1")
    assert failed.returncode != 0
    assert "app2 failed in an earlier task of this play, so no host is swapped" in plays.failures(failed)["Swap"]
    assert fleet.is_free
    assert [plays.pids(bed) for bed in fleet.hosts.values()] == before


def lost_between(tasks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """app2 is there when it is looked at, and gone when it is to be told of the lock."""
    return [PREFLIGHT, {"ansible.builtin.set_fact": NOBODY_ANSWERS, "when": "inventory_hostname == 'app2'"}, *tasks]


def test_a_host_that_cannot_be_told_ends_the_run_unless_it_may_be_left_out(fleet: Fleet) -> None:
    told = {"ansible.builtin.debug": {"msg": "left out: {{ (ansible_facts.bluegreen_lock | default({})).left_out | default('nobody') }}"}}
    take = {"name": "Take", "hotswap.bluegreen.lock": {}}
    book = own_play(fleet, *lost_between([take, told, {"hotswap.bluegreen.lock": {"state": "released"}}]))
    before = fleet.lease["token"]

    refused = fleet.run(book, release="v3")
    assert refused.returncode != 0
    assert re.search(r"app2 does not answer: .*cannot be told who has it: app2\..*bluegreen_max_unreachable is 0", plays.failures(refused)["Take"], re.DOTALL)
    assert fleet.lease["token"] == before + 1 and fleet.is_free

    allowed = fleet.run(book, release="v3", max_unreachable=1)
    assert allowed.returncode == 0
    assert re.search(r"left out: .*app2.*does not answer", allowed.stdout)
    assert fleet.is_free


def test_a_host_outside_of_the_limit_that_cannot_be_told_is_only_warned_about(fleet: Fleet) -> None:
    fleet.others["app3"] = {**NOBODY_ANSWERS, **fleet.hosts["app2"].variables}
    try:
        warned = fleet.run(
            own_play(fleet, PREFLIGHT, {"hotswap.bluegreen.lock": {}}, {"hotswap.bluegreen.lock": {"state": "released"}}), "--limit", "app1", release="v3"
        )
    finally:
        fleet.others.clear()
    assert warned.returncode == 0
    assert re.search(r"app3 does not answer.*not in this run", " ".join((warned.stdout + warned.stderr).split()))


def test_a_run_takes_its_own_lock_again(fleet: Fleet) -> None:
    """A play that holds the lock from its beginning and uses the role, which takes it: it is one run. So is one whose facts were cleared."""
    again = [
        {"hotswap.bluegreen.lock": {"reason": "outer"}},
        {"hotswap.bluegreen.lock": {"reason": "inner"}},
        {"hotswap.bluegreen.lock": {"state": "extended", "seconds": 5000}},
        {"hotswap.bluegreen.lock": {"state": "seen"}},
        {"ansible.builtin.meta": "clear_facts"},
        PREFLIGHT,
        {"hotswap.bluegreen.lock": {"reason": "without facts"}},
        {"hotswap.bluegreen.lock": {"state": "released"}},
    ]
    before = fleet.lease["token"]
    result = fleet.run(own_play(fleet, PREFLIGHT, *again), "--limit", "app1", release="v3")
    assert result.returncode == 0
    assert re.search(r"the lock is held: .*, outer, since .*\(in 83 min\)", result.stdout)
    assert (fleet.lease["token"], fleet.lease["reason"]) == (before + 2, "without facts")
    assert fleet.is_free
