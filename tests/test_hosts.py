"""The test bed: hosts of their own, and nothing of them left when they are not needed any more."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import hosts
from tools.bed import BUILD, ROOT, alive, environment, wait_until
from tools.hosts.engine import Engine, acquire, published
from tools.hosts.image import rootfs
from tools.hosts.place import Place


@pytest.fixture(scope="module")
def fleet() -> Iterator[hosts.Fleet]:
    with hosts.up("one", "two") as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A place of its own, with an engine of its own: what is left there was left by this test."""
    tar = rootfs(Place.ours())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    own = Place.ours()
    own.cache.mkdir(parents=True)
    (own.cache / "rootfs.tar").symlink_to(tar)
    return own


def left(place: Place) -> list[str]:
    """Whatever there is of this place on the machine, the cache apart."""
    interfaces = [path.name for path in Path("/sys/class/net").iterdir() if path.name == place.name]
    groups = [str(path) for path in (Path("/sys/fs/cgroup") / place.name, *Path("/sys/fs/cgroup").glob(f"*/{place.name}")) if path.exists()]
    files = [str(path) for path in (place.run, place.cache / "data") if path.exists()]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(place.run) in line or str(place.cache) in line]
    return [*interfaces, *groups, *files, *mounts, *(command for command in commands().values() if str(place.run) in command)]


def commands() -> dict[int, str]:
    """The command line of every process that runs."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found[int(path.parent.name)] = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return found


def test_each_host_has_its_own_address_and_is_reached_by_ssh(fleet: hosts.Fleet) -> None:
    assert fleet["one"].address != fleet["two"].address
    assert [fleet.ssh(host.name, "hostname").stdout for host in fleet] == ["one\n", "two\n"]


def test_hosts_reach_each_other_by_name(fleet: hosts.Fleet) -> None:
    fleet["one"].start("nginx", "supervisor")
    assert fleet["two"].run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://one/").stdout == "200"
    assert "RUNNING" not in fleet["one"].run("supervisorctl", "status", check=False).stdout


def test_deploy_becomes_root_with_a_password_only_and_ops_without(fleet: hosts.Fleet) -> None:
    assert fleet.ssh("one", "sudo -n id -un", user="deploy").returncode != 0
    assert fleet.ssh("one", "echo secret | sudo -S id -un", user="deploy").stdout == "root\n"
    assert fleet.ssh("one", "sudo -n id -un", user="ops").stdout == "root\n"


def test_a_file_is_written_and_read(fleet: hosts.Fleet) -> None:
    fleet["one"].write("/etc/deep/er", "größer\n", mode=0o640)
    assert fleet["one"].read("/etc/deep/er") == "größer\n"
    assert fleet["one"].run("stat", "-c", "%a", "/etc/deep/er").stdout == "640\n"
    with pytest.raises(hosts.HostsError, match="No such file"):
        fleet["one"].read("/etc/nothing")


def test_a_host_that_was_disconnected_answers_again_on_its_address(fleet: hosts.Fleet) -> None:
    fleet["two"].disconnect()
    assert not fleet["two"].answers()
    assert fleet["one"].answers()
    fleet["two"].connect()
    wait_until(fleet["two"].answers, what="the answer of a host that is connected again")
    assert fleet.ssh("two", "hostname").stdout == "two\n"


def test_a_frozen_host_hangs_until_it_is_thawed(fleet: hosts.Fleet) -> None:
    fleet["two"].freeze()
    try:
        assert not fleet["two"].answers()
    finally:
        fleet["two"].thaw()
    wait_until(fleet["two"].answers, what="the answer of a host that is thawed")


def test_cut_sessions_end_and_new_ones_work(fleet: hosts.Fleet) -> None:
    command = ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-i", str(fleet.key)]
    with subprocess.Popen([*command, f"root@{fleet['one'].address}", "echo in; sleep 100"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as open_:
        try:
            assert open_.stdout
            assert open_.stdout.readline() == "in\n"
            fleet["one"].kill_sshd_sessions()
            assert open_.wait(10) == 255
        finally:
            open_.kill()
    assert fleet.ssh("one", "hostname").stdout == "one\n"


def test_ansible_reaches_hosts_and_aliases_by_the_inventory(fleet: hosts.Fleet) -> None:
    aliases = fleet.aliases("two", 3)
    inventory = fleet.inventory({"app": ["one", *aliases]}, variables={"where": "all"}, host_variables={"one": {"where": "here"}, **aliases})
    path = fleet.folder / "inventory.json"
    path.write_text(json.dumps(inventory))
    command = [str(Path(sys.executable).parent / "ansible"), "-i", str(path), "app", "-m", "ansible.builtin.command", "-a", "echo {{ where }}", "-o"]
    done = subprocess.run(command, cwd=fleet.folder, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(line.partition(" ")[0] + line.rpartition(" ")[2] for line in done.stdout.splitlines() if "(stdout)" in line) == [
        "onehere", "two-001all", "two-002all", "two-003all",
    ]  # fmt: skip


def test_nothing_is_left_when_the_last_hosts_are_down(place: Place, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tools.hosts"]
    state = tmp_path / "state.json"
    subprocess.run([*command, "up", "one", "--state", str(state)], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=120)
    assert hosts.Fleet.load(Path(json.loads(state.read_text())["folder"]))["one"].answers()
    assert left(place)
    subprocess.run([*command, "down", "--state", str(state)], cwd=ROOT, check=True, stdin=subprocess.DEVNULL, timeout=120)
    assert not state.exists()
    wait_until(lambda: not left(place), 30, "the end of the engine")


_HOLDER = """
from tools import hosts
with hosts.up("one") as fleet:
    fleet["one"].freeze()
    print("up", flush=True)
    input()
"""


def test_nothing_is_left_when_whoever_holds_the_hosts_is_killed(place: Place) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "up\n"
        assert left(place)
        holder.kill()
    wait_until(lambda: not left(place), 30, "the end of the engine")


@pytest.mark.full
def test_the_next_run_takes_away_what_a_killed_engine_left(place: Place) -> None:
    with subprocess.Popen([sys.executable, "-c", _HOLDER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "up\n"
        keeper = next(pid for pid, command in commands().items() if "tools.hosts keep" in command and str(place.run) in command)
        os.kill(keeper, signal.SIGKILL)
        wait_until(lambda: not alive(keeper), what="the keeper's end")
        holder.kill()
    assert left(place)
    subprocess.run([sys.executable, "-c", _HOLDER], cwd=ROOT, input="\n", check=True, stdout=subprocess.PIPE, text=True, timeout=120)
    wait_until(lambda: not left(place), 30, "the end of the engine")


@pytest.mark.full
def test_an_engine_that_runs_already_is_used(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, record = acquire(place, owner=os.getpid())
    try:
        monkeypatch.setenv("DOCKER_HOST", engine.host)
        monkeypatch.setenv("HOTSWAP_HOSTS_RANGE", engine.range)  # the only one that this engine can be reached in
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
        other = Place.ours()
        other.cache.mkdir(parents=True)
        (other.cache / "rootfs.tar").symlink_to(place.cache / "rootfs.tar")
        fleet = hosts.create(["one"], owner=os.getpid())
        try:
            assert published(other) == Engine("", fleet["one"].address.rpartition(".")[0].rpartition(".")[0])
            assert fleet["one"].run("hostname").stdout == "one\n"
        finally:
            fleet.remove()
        wait_until(lambda: not left(other), 30, "the keeper's end")
        assert engine.docker("ps", "-aq").stdout == ""
        assert engine.docker("network", "ls", "-q", "--filter", "type=custom").stdout == ""
    finally:
        record.folder.joinpath("record.json").unlink()
        record.folder.rmdir()
    wait_until(lambda: not left(place), 30, "the engine's end")


def test_the_image_is_kept_outside_the_checkout() -> None:
    tar = rootfs(Place.ours())
    assert tar.stat().st_size > 10**8
    assert ROOT not in tar.parents and BUILD not in tar.parents
