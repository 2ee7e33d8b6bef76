"""Single jobs on real supervisords: at most one, whatever is cut off, restarted, left behind or lost; each guard on the spot."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _cron, _halt, _permit, _supervisor, _workers
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import WORKERS, Job

from tests.conftest import Counts
from tests.drivers.conftest import next_service
from tests.drivers.jobs import QUEUE, REPORT, Herd, cut_off
from tests.drivers.shop import ended
from tools.bed import AppBed, Bed, alive, temporary, wait_until

HOSTS = ("web1", "web2")


@pytest.fixture(scope="module")
def beds() -> Iterator[dict[str, Bed]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(temporary(AppBed)) for name in HOSTS}


MakeHerd = Callable[..., Herd]


@pytest.fixture
def make_herd(beds: dict[str, Bed], tmp_path: Path) -> Iterator[MakeHerd]:
    made: list[Herd] = []

    def make(*jobs: Job) -> Herd:
        made.append(Herd.make(next_service(), beds, tmp_path, *jobs))
        return made[-1]

    yield make
    for herd in made:
        herd.remove()


@pytest.fixture
def herd(make_herd: MakeHerd) -> Herd:
    """Two hosts with one queue in the fleet, on the first release."""
    herd = make_herd(QUEUE)
    assert herd.release("v1").booked == {}
    return herd


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_halt, "SPARE", 0.3)


# A worker of the fleet


def test_it_runs_on_one_host_moves_with_the_release_and_a_second_run_leaves_it(herd: Herd) -> None:
    assert herd.where() == {"web1": "v1"} and herd.permits() == {"web1"}
    assert not herd.file("web2").exists()
    old = herd.pid("web1")
    assert herd.release("v2").booked == {}
    assert herd.where() == {"web1": "v2"} and not alive(old)
    new = herd.pid("web1")
    assert not herd.run("v2").changed and herd.pid("web1") == new
    wait_until(lambda: len(herd.recorded("start")) == 2, what="the job's own record that it has started")
    assert herd.recorded("overlap") == []
    (row,) = _workers.seen(herd.hosts["web1"].wish, herd.hosts["web1"].client)
    assert (row["id"], row["scope"], row["state"], row["pid"], row["release"]) == ("worker:queue", "fleet", "RUNNING", new, "v2")
    assert _workers.seen(herd.hosts["web2"].wish, herd.hosts["web2"].client) == []


def test_it_goes_to_the_host_that_is_asked_for_and_leaves_nothing_behind(herd: Herd) -> None:
    herd.wished(replace(QUEUE, host="web2"))
    assert herd.run("v1").booked == {}
    assert herd.where() == {"web2": "v1"} and herd.permits() == {"web2"}
    assert not herd.file("web1").exists()
    assert herd.hosts["web1"].client.process(herd.file("web1").stem).state == "ABSENT"
    assert herd.recorded("overlap") == []


def test_one_that_is_wished_no_more_ends(herd: Herd) -> None:
    pid = herd.pid("web1")
    herd.wished()
    herd.run("v1")
    assert not alive(pid) and herd.permits() == set() and not herd.file("web1").exists()


def test_one_of_each_host_moves_on_every_host_of_the_run_whoever_is_lost(make_herd: MakeHerd) -> None:
    herd = make_herd(replace(QUEUE, scope="host"))
    herd.release("v1")
    assert herd.where() == {"web1": "v1", "web2": "v1"} and herd.permits() == {"web1", "web2"}
    herd.stage("v2")
    assert herd.run("v2", lost=["web2"]).booked == {}
    assert herd.where() == {"web1": "v2", "web2": "v1"}
    herd.wished(QUEUE)
    assert herd.run("v2").booked == {}
    assert herd.where() == {"web1": "v2"} and herd.permits() == {"web1"}, "there is one in the fleet now"


def test_it_runs_as_the_service_s_user_who_can_hold_a_permit_and_not_make_one(make_herd: MakeHerd) -> None:
    user = "nobody" if os.geteuid() == 0 else ""  # without root nobody changes
    herd = make_herd(replace(QUEUE, command=("/bin/sleep", "600")))
    for shop in herd.hosts.values():
        shop.wish = replace(shop.wish, program=replace(shop.wish.program, user=user))
    assert herd.release("v1").booked == {}
    wish = herd.hosts["web1"].wish
    (pid,) = wait_until(lambda: _permit.holders(wish, QUEUE.id), what="the queue")
    assert Path(f"/proc/{pid}").stat().st_uid == (pwd.getpwnam(user).pw_uid if user else os.geteuid())
    permits = Path(_permit.path(wish, QUEUE.id)).parent
    assert permits.stat().st_uid == os.geteuid() and permits.stat().st_mode & 0o022 == 0
    assert herd.release("v2").booked == {} and herd.where() == {"web1": "v2"}


def test_going_back_to_a_release_from_before_there_were_jobs_ends_them_and_that_is_said_once(make_herd: MakeHerd) -> None:
    herd = make_herd()
    herd.stage("v1")
    herd.wished(QUEUE, REPORT)
    herd.release("v2")
    for shop in herd.hosts.values():
        shop.wish = replace(shop.wish, rollback=True)
    moved = herd.run("v1")
    assert moved.booked == {} and [event.detail for event in moved.done if event.step == "start"] == ["release v1 does not have it, so it runs nowhere"] * 2
    assert herd.where() == {} and herd.permits() == herd.permits(REPORT) == set() and not herd.cron("web1").exists()
    assert not herd.run("v1").changed


def test_one_that_hears_no_signal_is_gone_before_the_new_one_starts(make_herd: MakeHerd) -> None:
    herd = make_herd(replace(QUEUE, stop_timeout=1))
    herd.release("v1", JOB_FAULT="deaf")
    old = herd.pid("web1")
    assert herd.release("v2").booked == {}
    assert not alive(old) and herd.where() == {"web1": "v2"}
    assert herd.recorded("overlap") == []


@pytest.mark.usefixtures("impatient")
def test_an_orphan_that_has_left_the_tree_is_named_by_its_pid_and_nothing_is_started_anywhere(make_herd: MakeHerd) -> None:
    """It has closed every file and its parent is init: only its environment tells whose it is."""
    herd = make_herd(replace(QUEUE, stop_timeout=1))
    herd.release("v1", JOB_FAULT="orphan")
    permit = herd.hosts["web1"].wish
    (orphan,) = wait_until(lambda: set(_permit.holders(permit, QUEUE.id)) - {herd.pid("web1")}, what="the orphan")
    with ended([orphan]):
        herd.wished(replace(QUEUE, host="web2", stop_timeout=1))
        moved = herd.release("v2")
        assert f"pid {orphan} (" in moved.booked["web1"]
        assert "It is started nowhere until they are gone" in moved.booked["web1"]
        assert "worker:queue is not started on web2: web1 did not give it up" in moved.booked["web2"]
        assert alive(orphan) and herd.where() == {} and herd.permits() == {"web1"}
    assert herd.run("v2").booked == {}
    assert herd.where() == {"web2": "v2"}


def test_its_program_file_goes_first_so_that_a_supervisord_that_restarts_does_not_bring_it_back(herd: Herd) -> None:
    herd.stage("v2")
    assert cut_off(lambda: herd.run("v2"), at=2), "killed before supervisor was told anything"
    assert not herd.file("web1").exists() and herd.where() == {"web1": "v1"}
    herd.restart("web1")
    assert herd.where() == {}
    assert herd.run("v2", lost=["web2"]).booked == {}, "its permit is here: no other host needs to be asked"
    assert herd.where() == {"web1": "v2"}


def test_a_supervisord_that_was_killed_leaves_a_process_behind_and_starts_no_second_one(herd: Herd) -> None:
    old = herd.pid("web1")
    herd.restart("web1", force=True)
    assert alive(old)
    name, client = herd.file("web1").stem, herd.hosts["web1"].client
    wait_until(lambda: any("worker:queue runs already" in line for line in client.log(name)), 20, "a second start")
    assert herd.recorded("overlap") == [] and len(herd.recorded("start")) == 1
    with ended([old]):
        pass
    assert herd.release("v2").booked == {}
    assert herd.where() == {"web1": "v2"} and herd.recorded("overlap") == []


def test_on_a_lost_host_it_may_run_so_it_is_started_nowhere_until_the_user_says_that_it_is_gone(herd: Herd) -> None:
    herd.stage("v2")
    text = herd.run("v2", lost=["web1"]).booked["web2"]
    assert "worker:queue is started nowhere" in text and "web1: does not answer" in text and "bluegreen_workers_absent" in text
    assert herd.where() == {"web1": "v1"}
    with ended([herd.pid("web1")]):
        herd.hosts["web1"].client.stop(herd.file("web1").stem)
    assert herd.run("v2", lost=["web1"], absent={"web1": "burnt down"}).booked == {}
    assert herd.where() == {"web2": "v2"}
    herd.file("web1").unlink()
    _permit.withdraw(herd.hosts["web1"].wish, QUEUE.id)


# Guards on the spot


def test_a_host_does_not_start_it_unless_every_other_one_has_vouched(make_herd: MakeHerd) -> None:
    herd = make_herd(QUEUE)
    herd.stage("v1")
    herd.do("web1", "point", "workers", "v1")
    refused = herd.do("web1", "start", QUEUE.id, "v1").failure
    assert refused and "worker:queue may run on web2, which did not say that it does not" in refused.seen
    assert herd.permits() == set() and herd.where() == {}
    assert herd.do("web1", "start", QUEUE.id, "v1", out_of=("web2",)).failure is None


def test_a_host_with_anything_of_it_does_not_vouch(herd: Herd) -> None:
    assert herd.do("web2", "vouch", QUEUE.id).failure is None
    refused = herd.do("web1", "vouch", QUEUE.id).failure
    assert refused and "its permit; its program file; supervisor says RUNNING, pid" in refused.seen


def test_it_is_not_started_beside_itself(herd: Herd) -> None:
    pid = herd.pid("web1")
    refused = herd.do("web1", "start", QUEUE.id, "v1").failure
    assert refused and f"pid {pid}" in refused.seen
    assert herd.pid("web1") == pid


def test_it_is_not_started_with_another_release_than_its_place_points_to(herd: Herd) -> None:
    herd.stage("v2")
    refused = herd.do("web1", "start", QUEUE.id, "v2").failure
    assert refused and "/workers/current is v1, not v2" in refused.seen


def test_without_a_permit_nobody_starts_it(herd: Herd) -> None:
    wish = herd.hosts["web2"].wish
    done = subprocess.run([f"{wish.root}/{WORKERS}/launcher", QUEUE.id], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "no release in workers yet" in done.stderr
    herd.do("web2", "point", "workers", "v1")
    done = subprocess.run([f"{wish.root}/{WORKERS}/launcher", QUEUE.id], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and QUEUE.id in done.stderr
    wait_until(lambda: len(herd.recorded("start")) == 1, 20, "the one that has its permit")


def test_one_that_began_before_its_permit_was_taken_away_ends_before_it_is_the_job(make_herd: MakeHerd, tmp_path: Path) -> None:
    """cron, or a supervisord, was a moment ahead: it has opened the permit, and locks it when it is gone."""
    herd = make_herd(QUEUE)
    herd.stage("v1")
    wish = herd.hosts["web1"].wish
    herd.do("web1", "point", "workers", "v1")
    _permit.grant(wish, QUEUE.id)
    slow = tmp_path / "bin" / "flock"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/begun\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.01; done\nexec /usr/bin/flock "$@"\n')
    slow.chmod(0o755)
    path = f"{slow.parent}:{os.environ['PATH']}"
    process = subprocess.Popen([f"{wish.root}/{WORKERS}/launcher", QUEUE.id], stderr=subprocess.PIPE, text=True, env={**os.environ, "PATH": path})
    with ended([process.pid]):
        wait_until((tmp_path / "begun").exists, what="the beginning")
        assert _permit.withdraw(wish, QUEUE.id)
        (tmp_path / "go").touch()
        assert "worker:queue is not to run here any more" in process.communicate(timeout=20)[1]
    assert herd.recorded("start") == []


def test_a_permit_is_not_taken_away_from_one_that_runs(herd: Herd) -> None:
    wish = herd.hosts["web1"].wish
    assert not _permit.is_free(wish, QUEUE.id) and not _permit.withdraw(wish, QUEUE.id)
    assert _permit.holders(wish, QUEUE.id) == (herd.pid("web1"),)


def test_one_that_crashes_fails_with_its_last_words(herd: Herd) -> None:
    herd.wished(replace(QUEUE, start_seconds=1))
    for shop in herd.hosts.values():
        shop.wish = replace(shop.wish, boot_timeout=1.5)
    text = herd.release("v2", JOB_FAULT="crash").booked["web1"]
    assert "worker:queue failed at check" in text and "cannot find the queue" in text


# cron


def entry(herd: Herd, host: str, **environment: str) -> subprocess.Popen[str]:
    """What cron does at the minute: the line's command by sh, as the line says."""
    line = herd.cron(host).read_text().splitlines()[-1]
    minute, hour, day, month, weekday, user, command = line.split(None, 6)
    assert [minute, hour, day, month, weekday] == REPORT.schedule.split() and user == "root"
    return subprocess.Popen(["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, **environment})


def ended_by_term(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    process.communicate(timeout=20)


def test_an_entry_of_cron_stands_on_one_host_and_follows_the_live_release_once_at_a_time(make_herd: MakeHerd) -> None:
    herd = make_herd(REPORT)
    herd.release("v1")
    assert not herd.cron("web2").exists()
    about = herd.cron("web1").stat()
    assert about.st_mode & 0o777 == 0o644 and about.st_uid == os.geteuid() and "." not in herd.cron("web1").name
    assert herd.cron("web1").read_text().endswith("launcher cron:report\n")
    first = entry(herd, "web1")
    wait_until(lambda: herd.recorded("start"), what="the first run")
    second = entry(herd, "web1")
    assert "cron:report runs already" in second.communicate(timeout=20)[1] and second.returncode != 0
    text = herd.cron("web1").read_text()
    assert herd.release("v2").booked == {}, "a run in progress does not keep the release from moving"
    assert herd.cron("web1").read_text() == text
    ended_by_term(first)
    third = entry(herd, "web1")
    wait_until(lambda: len(herd.recorded("start")) == 2, what="the third run")
    ended_by_term(third)
    assert [line.split()[2] for line in herd.recorded("start")] == ["v1", "v2"] and herd.recorded("overlap") == []


def test_an_entry_that_moves_goes_first_and_a_run_in_progress_is_waited_for(make_herd: MakeHerd) -> None:
    herd = make_herd(REPORT)
    herd.release("v1")
    line = herd.cron("web1").read_text().splitlines()[-1].split(None, 6)[6]
    running = entry(herd, "web1")
    wait_until(lambda: herd.recorded("start"), what="the run")
    herd.wished(replace(REPORT, host="web2"))
    moved = herd.run("v1")
    assert not herd.cron("web1").exists() and not herd.cron("web2").exists()
    assert f"pid {herd.recorded('start')[0].split()[1]} (" in moved.booked["web1"] and "is scheduled nowhere" in moved.booked["web1"]
    ended_by_term(running)
    assert herd.run("v1").booked == {}
    assert herd.cron("web2").exists() and herd.permits(REPORT) == {"web2"}
    late = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=False)
    assert late.returncode != 0, "cron had read its table before"
    assert len(herd.recorded("start")) == 1
    herd.wished()
    herd.run("v1")
    assert not herd.cron("web2").exists() and herd.permits(REPORT) == set()


def test_what_on_a_host_stands_against_jobs_is_said_before_anything_is_done(make_herd: MakeHerd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    herd = make_herd(QUEUE, REPORT)
    wish = herd.hosts["web1"].wish
    herd.file("web1").write_text("; a colleague's\n")
    herd.cron("web1").write_text("0 4 * * * root true\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(_cron, "_DAEMONS", frozenset({"no such daemon"}))
    found = "\n".join(_workers.unfit(wish))
    herd.file("web1").unlink()
    herd.cron("web1").unlink()
    assert "programs/" in found and f"was not written for a worker of {wish.service}: rename the worker" in found
    assert "the command flock is not on this host" in found
    assert "bluegreen_cron: no cron daemon runs on this host" in found
    assert f"cron.d/bluegreen-{wish.service} was not written for {wish.service}" in found
    assert _workers.unfit(replace(wish, cron_dir=f"{tmp_path}/none"))[-1].endswith("/none is not there. Install cron, or set bluegreen_cron_dir.")
    assert _workers.unfit(replace(wish, jobs=())) == []


def test_a_cron_daemon_is_known_by_its_name(make_herd: MakeHerd, tmp_path: Path) -> None:
    wish = make_herd(REPORT).hosts["web1"].wish
    daemon = shutil.copy("/bin/sleep", tmp_path / "cron")
    with subprocess.Popen([daemon, "600"]) as process:
        try:
            # exec closes what Popen waits for a moment before it gives the process its name.
            wait_until(lambda: _cron.unfit(wish) == [])
        finally:
            process.kill()


def test_a_file_of_cron_that_is_not_ours_is_left_alone(make_herd: MakeHerd) -> None:
    herd = make_herd(REPORT)
    herd.stage("v1")
    herd.cron("web1").write_text("0 4 * * * root true\n")
    with pytest.raises(Refusal, match="was not written for"):
        _cron.lines(herd.hosts["web1"].wish)
    herd.cron("web1").unlink()


# Never two


def interrupted(herd: Herd, release: str, chance: random.Random) -> bool:
    """A run that is killed before one of its effects, on all hosts or on some; whether it came to that."""
    limit = chance.choice([(), (), HOSTS[:1], HOSTS[1:]])
    return cut_off(lambda: herd.run(release, *limit), at=chance.randint(1, 14))


def releases(herd: Herd, count: int, seed: int, counts: Counts) -> None:
    """So many releases, each with runs that are cut off, hosts that are lost and supervisords that restart, and one run that may end."""
    chance = random.Random(seed)
    counts.seed("single jobs", seed)
    for number in range(count):
        herd.wished(replace(QUEUE, host=chance.choice(["", *HOSTS])))
        herd.stage(f"r{number}")
        for _ in range(2):
            counts.add("runs of single jobs cut off", interrupted(herd, f"r{number}", chance))
            if chance.random() < 0.3:
                herd.restart(chance.choice(HOSTS))
                counts.add("supervisords restarted among single jobs")
        if chance.random() < 0.3:
            herd.run(f"r{number}", lost=[chance.choice(HOSTS)])
            counts.add("hosts lost among single jobs")
        assert herd.run(f"r{number}").booked == {}
        wait_until(lambda number=number: any(f" r{number} " in line for line in herd.recorded("start")), what="the queue's word")
        assert list(herd.where().values()) == [f"r{number}"]
        assert len(herd.permits()) == 1
        assert herd.recorded("overlap") == [], f"two at a time in release {number} with seed {seed}"
    counts.add("releases of single jobs", count)
    counts.add("single jobs started", len(herd.recorded("start")))
    counts.add("overlaps of single jobs", len(herd.recorded("overlap")))


def test_three_releases_with_interruptions_never_have_two(make_herd: MakeHerd, counts: Counts) -> None:
    releases(make_herd(QUEUE), 3, random.randrange(10**6), counts)


@pytest.mark.full
def test_twenty_releases_with_interruptions_restarts_and_lost_hosts_never_have_two(make_herd: MakeHerd, counts: Counts) -> None:
    releases(make_herd(QUEUE), 20, random.randrange(10**6), counts)


def test_a_run_that_is_killed_before_any_of_its_effects_is_completed_by_the_next(make_herd: MakeHerd, counts: Counts) -> None:
    """The whole way from one host to the other, in order: let go, gone, permit, file, start."""
    herd, at, cut = make_herd(QUEUE), 1, True
    herd.release("v1")
    supervisors = {name: _supervisor.connect(shop.wish.supervisor) for name, shop in herd.hosts.items()}
    while cut:
        there = next(iter(herd.where()))
        other = next(name for name in HOSTS if name != there)
        herd.wished(replace(QUEUE, host=other))
        cut = cut_off(lambda: herd.run("v1"), at)
        assert len(herd.permits()) <= 1 and herd.recorded("overlap") == []
        assert sum(bool(client.process(herd.file(name).stem).pid) for name, client in supervisors.items()) <= 1
        assert herd.run("v1").booked == {} and list(herd.where()) == [other]
        at += 1
    assert at > 8
    counts.add("moves of a single job cut off at every effect", at - 2)
