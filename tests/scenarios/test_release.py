"""The main job through ansible-playbook: install, release, release again, a broken one put back, a run cut off."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools import bed as beds

APPS = Path(__file__).parents[1] / "apps"
RELEASE: dict[str, Any] = {"command": f"{beds.PYTHON} app.py", "source": {"directory": str(APPS / "plain")}, "start_seconds": 0}


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    with beds.temporary() as bed:
        yield bed


def release(bed: beds.Bed, name: str, *words: str, **extra: Any) -> subprocess.CompletedProcess[str]:
    return bed.playbook("hotswap.bluegreen.release", *words, release=name, **{**RELEASE, **extra})


def changed(result: subprocess.CompletedProcess[str]) -> int:
    return sum(int(word.partition("=")[2]) for word in result.stdout.split() if word.startswith("changed="))


def answer(bed: beds.Bed) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", bed.port, timeout=10)
    try:
        connection.request("GET", "/")
        return dict(json.loads(connection.getresponse().read()))
    finally:
        connection.close()


def pids(bed: beds.Bed) -> dict[str, str]:
    rows = [line.split() for line in bed.supervisorctl("status").splitlines()]
    return {row[0]: row[3] for row in rows if len(row) > 3 and row[1] == "RUNNING"}


def picture(bed: beds.Bed) -> dict[str, tuple[Any, ...]]:
    """Everything on the host that a check could have changed: paths, kinds, times, contents. Its own inputs and logs apart."""
    found = {}
    for path in sorted(bed.path.rglob("*")):
        if path.name in ("variables.json", "inventory", "supervisord.log") or path.suffix == ".log" or path.is_socket():
            continue
        about = path.lstat()
        content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (about.st_mode, about.st_uid, about.st_mtime_ns, content)
    return found


def test_check_mode_before_the_first_installation_prints_the_plan_and_changes_nothing(bed: beds.Bed) -> None:
    before = picture(bed)
    for playbook in ("hotswap.bluegreen.install", "hotswap.bluegreen.release"):
        result = bed.playbook(playbook, "--check", "--diff", release="v1", **RELEASE)
        assert result.returncode == 0, result.stdout
    assert "not known before hotswap.bluegreen.install" in result.stdout
    assert "app1/green  enable" in result.stdout
    assert picture(bed) == before


def test_the_installation_shows_its_files_with_diff_and_changes_nothing_the_second_time(bed: beds.Bed) -> None:
    first = bed.playbook("hotswap.bluegreen.install", "--diff")
    assert first.returncode == 0, first.stdout
    for piece in ("[program:shop-blue]", "upstream bluegreen-shop-http-", "pools/p"):
        assert piece in first.stdout
    before = picture(bed)
    second = bed.playbook("hotswap.bluegreen.install", "--diff")
    assert changed(second) == 0
    assert picture(bed) == before


def test_the_first_release_is_served_by_the_primary(bed: beds.Bed) -> None:
    result = release(bed, "v1")
    assert result.returncode == 0, result.stdout
    assert (answer(bed)["release"], answer(bed)["slot"]) == ("v1", "blue")


def test_a_second_run_of_the_same_release_changes_nothing(bed: beds.Bed) -> None:
    before = pids(bed)
    result = release(bed, "v1")
    assert changed(result) == 0
    assert pids(bed) == before != {}


def test_check_mode_prints_the_plan_of_the_next_release_and_changes_nothing(bed: beds.Bed) -> None:
    before, running = picture(bed), pids(bed)
    result = release(bed, "v2", "--check", "--diff")
    assert result.returncode == 0, result.stdout
    planned = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("app1/green")]
    assert planned == ["switch", "drain", "stop", "point", "start", "check", "enable"]
    assert (picture(bed), pids(bed)) == (before, running)


def test_running_the_roles_between_releases_bounces_nothing_and_undoes_no_drain(bed: beds.Bed) -> None:
    state = bed.path / "bluegreen" / "shop"
    everyone = (state / "active").readlink()
    one = next(Path("pools") / path.parent.name for path in (state / "pools").glob("*/members.json") if len(json.loads(path.read_text())) == 1)
    (state / "other").symlink_to(one)
    (state / "other").rename(state / "active")
    running = pids(bed)
    assert changed(bed.playbook("hotswap.bluegreen.install")) == 0
    assert (state / "active").readlink() == one
    assert pids(bed) == running
    repaired = release(bed, "v1")
    assert changed(repaired) == 1
    assert (state / "active").readlink() == everyone
    assert pids(bed) == running


def test_every_step_prints_a_line_as_it_ends_with_v_as_it_begins_too_and_a_long_wait_says_how_far_it_is(bed: beds.Bed) -> None:
    result = release(bed, "slow", "-v", environment={"BOOT_SECONDS": "5"})
    lines = result.stdout.splitlines()
    for step in ("switch", "drain", "stop", "point", "start", "check", "enable"):
        mine = [line for line in lines if line.startswith(f"app1/green  {step}")]
        assert mine[0].endswith("…") and "done" in mine[-1]
    waits = [line for line in lines if "  check   waiting" in line]
    assert len([line for line in waits if "nobody listens" in line]) >= 2, "one a member"
    assert all("of 60 s" in line for line in waits)
    assert "[" not in "".join(waits)


def test_a_broken_release_is_put_back_and_the_message_says_all_that_the_person_on_call_needs(bed: beds.Bed) -> None:
    assert release(bed, "v3").returncode == 0
    before = pids(bed)
    result = release(bed, "v4", environment={"CRASH": "no database"})
    assert result.returncode != 0
    for piece in (
        "app1/green failed at check",
        "shop-green runs; seen: supervisor says",
        "no database",  # the program's own last words
        "app1/green is back on release v3 and serves",
        "app1/blue: release v3",
        "run the same command again",
    ):
        assert piece in result.stdout, piece
    assert pids(bed)["shop-blue"] == before["shop-blue"]
    assert answer(bed)["release"] == "v3"
    assert release(bed, "v3").returncode == 0


def test_a_change_of_the_environment_alone_is_swapped_in_and_put_back_when_it_breaks(bed: beds.Bed) -> None:
    before = picture(bed)
    planned = release(bed, "v3", "--check", environment={"WORD": "one"})
    assert "14 steps planned" in planned.stdout
    assert picture(bed) == before
    result = release(bed, "v3", environment={"WORD": "one"})
    assert result.returncode == 0, result.stdout
    assert answer(bed)["word"] == "one"
    assert release(bed, "v3", environment={"CRASH": "now"}).returncode != 0
    assert answer(bed)["word"] == "one"
    green = http.client.HTTPConnection("127.0.0.1", bed.green, timeout=10)
    green.request("GET", "/")
    assert json.loads(green.getresponse().read())["word"] == "one"


def test_a_change_of_the_program_file_waits_for_the_swap(bed: beds.Bed) -> None:
    release(bed, "v3", environment={"WORD": "one"})
    before = pids(bed)
    bed.variables["bluegreen_stop_timeout"] = 17
    installed = bed.playbook("hotswap.bluegreen.install")
    assert changed(installed) == 0
    assert pids(bed) == before
    result = release(bed, "v3", environment={"WORD": "one"})
    assert result.returncode == 0, result.stdout
    assert "program file changed" in result.stdout
    assert "stopwaitsecs=17" in (bed.path / "programs" / "shop-blue.conf").read_text()
    assert set(pids(bed)) == set(before) and pids(bed) != before
    before = pids(bed)
    bed.supervisorctl("update")
    assert pids(bed) == before


def start(bed: beds.Bed, name: str, **extra: Any) -> subprocess.Popen[str]:
    command = bed.command("hotswap.bluegreen.release", "-v", **{f"{key}": value for key, value in {"release": name, **RELEASE, **extra}.items()})
    return subprocess.Popen(
        command,
        cwd=bed.path,
        env=beds.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for_the_end(process: subprocess.Popen[str]) -> None:
    """ansible-playbook now and then does not heed a SIGINT: then it gets what an impatient person sends next."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def until(process: subprocess.Popen[str], words: str) -> None:
    """Read what the run prints until ``words`` come."""
    assert process.stdout
    for line in process.stdout:
        if words in line:
            return
    raise AssertionError(f"the run ended without {words!r}")


SENDING, AWAY, BOOTING, SECOND = "sending release", "app1/green  switch  switch", "app1/green  check   waiting", "app1/blue  switch  switch"
full = pytest.mark.full


@pytest.mark.parametrize(
    ("sign", "moment"),
    [
        (signal.SIGKILL, SENDING),
        pytest.param(signal.SIGKILL, BOOTING, marks=full),
        (signal.SIGINT, SECOND),
        pytest.param(signal.SIGKILL, AWAY, marks=full),
        pytest.param(signal.SIGKILL, SECOND, marks=full),
        pytest.param(signal.SIGINT, SENDING, marks=full),
        pytest.param(signal.SIGINT, AWAY, marks=full),
        pytest.param(signal.SIGINT, BOOTING, marks=full),
    ],
)
def test_a_run_that_is_cut_off_is_completed_by_running_again(bed: beds.Bed, sign: signal.Signals, moment: str) -> None:
    name = f"cut-{sign.name}-{abs(hash(moment)) % 1000}"
    process = start(bed, name, environment={"BOOT_SECONDS": "2.5"})
    try:
        until(process, moment)
        os.killpg(process.pid, sign)  # what a terminal, or the loss of the controller, does
    finally:
        _wait_for_the_end(process)
    assert answer(bed)["release"]
    again = release(bed, name, environment={"BOOT_SECONDS": "2.5"})
    assert again.returncode == 0, again.stdout
    assert answer(bed)["release"] == name
    assert not list((bed.path / "srv" / "releases").glob(".staging-*"))


def test_a_second_run_at_the_same_time_is_refused_by_the_owners_name(bed: beds.Bed) -> None:
    process = start(bed, "v8", environment={"BOOT_SECONDS": "1"})
    try:
        until(process, "app1/green  switch  switch")
        os.killpg(process.pid, signal.SIGSTOP)  # however slow the second one is, it meets the first
        second = release(bed, "v9")
        assert second.returncode != 0
        assert "another run holds the lock of shop" in second.stdout
        assert f"pid {process.pid}" in second.stdout and "release v8" in second.stdout
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        rest, _ = process.communicate(timeout=120)
    assert process.returncode == 0, rest
    assert answer(bed)["release"] == "v8"


@pytest.mark.full
def test_it_works_where_facts_are_not_injected_as_variables(bed: beds.Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beds, "environment", lambda settings=beds.environment: settings(ANSIBLE_INJECT_FACT_VARS="False"))
    assert changed(bed.playbook("hotswap.bluegreen.install")) == 0
    result = release(bed, "v10")
    assert result.returncode == 0, result.stdout


@pytest.mark.full
def test_the_service_survives_a_path_with_a_symbolic_link() -> None:
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        real, link = Path(folder, "real"), Path(folder, "link")
        real.mkdir(mode=0o755)
        Path(folder).chmod(0o755)
        link.symlink_to(real)
        with beds.Bed(link) as bed:
            assert bed.playbook("hotswap.bluegreen.install").returncode == 0
            result = release(bed, "v1")
            assert result.returncode == 0, result.stdout
            assert changed(release(bed, "v1")) == 0
