"""The exporter on real nginx and supervisord, however it is started, and the lines that swaps and reloads leave in a real syslog socket."""

from __future__ import annotations

import fcntl
import os
import re
import runpy
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _account, _exporter, _fence, _hold, _lock, _monitoring, _nginx, _syslog
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Monitoring

from tests.drivers.conftest import MakeFleet, MakeShop
from tests.drivers.shop import Shop, altered
from tools.bed import wait_until

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Callable[[Shop], Wish]:
    """The wish of a shop with an exporter of which all is below the test's directory."""
    for name in ("cron", "textfiles", "others"):
        (tmp_path / name).mkdir()
    return lambda shop: altered(shop.wish, cron_dir=f"{tmp_path}/cron", monitoring=Monitoring(textfile_dir=f"{tmp_path}/textfiles"))


def exported(wish: Wish, name: str, **labels: str) -> list[float]:
    rows = [re.match(rf"{name}{{(.*)}} (\S+)$", line) for line in Path(_exporter.textfile(wish)).read_text().splitlines()]
    return [float(row[2]) for row in rows if row and all(f'{key}="{value}"' in row[1] for key, value in labels.items())]


def minute(wish: Wish) -> None:
    subprocess.run(_exporter.command(wish), check=True, env={}, stdin=subprocess.DEVNULL, timeout=60)


def left(wish: Wish, folder: Path) -> list[str]:
    """What is there of the exporter, anywhere."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    kept = (_exporter.folder(wish), _monitoring.program_path(wish))
    return [*map(str, found), *(path for path in kept if os.path.lexists(path))]


def absent(wish: Wish) -> Wish:
    return altered(wish, monitoring={"state": "absent"})


def test_from_cron_it_is_installed_once_tells_the_truth_and_leaves_nothing(make_shop: MakeShop, place: Callable[[Shop], Wish], tmp_path: Path) -> None:
    shop = make_shop().released("v1")
    wish = place(shop)
    assert _monitoring.install(wish, dry=True).changed
    assert left(wish, tmp_path) == []

    assert _monitoring.install(wish).changed
    assert not _monitoring.install(wish).changed
    assert exported(wish, "bluegreen_member_info", release="v1") == [1, 1]
    assert stat.S_IMODE(os.stat(_exporter.textfile(wish)).st_mode) == 0o644
    assert stat.S_IMODE(os.stat(f"{_exporter.folder(wish)}/{_exporter.WISH}").st_mode) == 0o600  # a health check's headers may be secrets

    assert exported(wish, "bluegreen_lock_held") == []  # it was never kept here
    shop.serve("green")
    switched = os.lstat(_nginx.active_link(wish)).st_mtime
    lease = _lock.acquire(_hold.lease_folder(wish), {}, "a test", 60)
    minute(wish)
    assert exported(wish, "bluegreen_member_serving", member="app1/blue") == [0]
    assert exported(wish, "bluegreen_member_drained_timestamp_seconds", member="app1/blue") == [pytest.approx(switched, abs=0.01)]
    assert exported(wish, "bluegreen_member_drained_timestamp_seconds", member="app1/green") == [0]
    assert exported(wish, "bluegreen_lock_held") == [1]
    _lock.release(_hold.lease_folder(wish), lease.token)

    moved = altered(wish, monitoring={"textfile_dir": f"{tmp_path}/others"})
    assert _monitoring.install(moved).changed
    assert not os.path.exists(_exporter.textfile(wish)) and os.path.exists(_exporter.textfile(moved))

    assert _monitoring.install(absent(moved)).changed
    assert left(wish, tmp_path) == []
    assert not _monitoring.install(absent(moved)).changed


def test_supervisor_may_start_it_instead_and_one_takes_the_others_place(make_shop: MakeShop, place: Callable[[Shop], Wish], tmp_path: Path) -> None:
    shop = make_shop().released("v1")
    by_cron = place(shop)
    by_supervisor = altered(by_cron, monitoring={"by": "supervisor"})
    name = _monitoring.program_name(by_cron)
    _monitoring.install(by_cron)

    assert _monitoring.install(by_supervisor).changed
    assert not _monitoring.install(by_supervisor).changed
    assert os.listdir(by_cron.cron_dir) == []
    before = os.stat(_exporter.textfile(by_cron)).st_mtime_ns
    os.unlink(_exporter.textfile(by_cron))
    shop.client.stop(name)
    wait_until(lambda: not shop.client.process(name).pid, 30, "its end")
    shop.client.start(name)
    wait_until(lambda: os.path.exists(_exporter.textfile(by_cron)), 30, "what it writes")
    assert os.stat(_exporter.textfile(by_cron)).st_mtime_ns > before
    assert shop.client.process(name).state == "RUNNING"

    assert _monitoring.install(by_cron).changed
    assert shop.client.process(name).state == "ABSENT"
    _monitoring.install(by_supervisor)
    _monitoring.install(absent(by_supervisor))
    assert shop.client.process(name).state == "ABSENT"
    assert left(by_cron, tmp_path) == []


def test_a_host_that_only_balances_tells_of_the_members_of_others_by_cron(fleet_of: MakeFleet, place: Callable[[Shop], Wish]) -> None:
    fleet = fleet_of("blue green")
    fleet.install()
    assert fleet.swap("v1").ok
    wish = altered(place(fleet.lb), monitoring={"by": "supervisor"})

    _monitoring.install(wish)
    assert os.listdir(wish.cron_dir) == [os.path.basename(_monitoring.cron_path(wish))]
    assert exported(wish, "bluegreen_member_serving") == [1, 1]
    assert exported(wish, "bluegreen_swap_step_seconds", step="enable")
    assert exported(wish, "bluegreen_reloads_total") == [1]
    assert exported(wish, "bluegreen_exporter_problems") == [0]
    assert exported(wish, "bluegreen_member_info") == []
    _monitoring.install(absent(wish))


def test_what_stands_against_it_is_said_before_anything_is_there(make_shop: MakeShop, place: Callable[[Shop], Wish], tmp_path: Path) -> None:
    shop = make_shop()
    shop.install()
    wrong = altered(place(shop), cron_dir="/nowhere/cron.d", monitoring={"textfile_dir": "/nowhere/textfiles"})

    with pytest.raises(Refusal) as refused:
        _monitoring.install(wrong)
    assert "bluegreen_monitoring_textfile_dir is /nowhere/textfiles, which is not there on this host" in str(refused.value)
    assert "bluegreen_cron_dir, /nowhere/cron.d, is not there" in str(refused.value)
    assert left(wrong, tmp_path) == []


def test_an_exporter_that_does_not_run_fails_its_installation(make_shop: MakeShop, place: Callable[[Shop], Wish], monkeypatch: pytest.MonkeyPatch) -> None:
    shop = make_shop()
    shop.install()
    wish = place(shop)
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with pytest.raises(Refusal, match="the exporter of metrics fails: exit status 1"):
        _monitoring.install(wish)
    assert os.listdir(wish.cron_dir) == []


def test_the_end_of_a_run_wakes_it_on_each_host(make_shop: MakeShop, place: Callable[[Shop], Wish]) -> None:
    wish = place(make_shop().released("v1"))
    _monitoring.install(wish)
    os.unlink(_exporter.textfile(wish))
    finish = runpy.run_path(str(ROOT / "plugins" / "modules" / "finish.py"))["work"]
    asked = {"wish": dump(wish), "token": 1, "keeps_lease": False, "event": {}, "swapped": False, "look": False, "prune": False}
    try:
        finish(SimpleNamespace(params=asked, check_mode=False))
    finally:
        _fence.leave()

    wait_until(lambda: os.path.exists(_exporter.textfile(wish)), 30, "what it writes")


def test_one_that_cannot_see_says_how_many_things_and_goes_on(make_shop: MakeShop, place: Callable[[Shop], Wish]) -> None:
    shop = make_shop().released("v1")
    wish = altered(place(shop), supervisor={"socket": "/nowhere/supervisor.sock"})
    Path(_hold.lease_folder(wish), "lease.json").write_text("{}")
    _monitoring.install(wish)

    assert exported(wish, "bluegreen_exporter_problems") == [2]
    assert exported(wish, "bluegreen_member_serving") == [1, 1]
    assert exported(wish, "bluegreen_member_state", state="NOT SEEN") == [1, 1]


def test_one_that_waited_while_it_was_taken_away_writes_nothing(make_shop: MakeShop, place: Callable[[Shop], Wish]) -> None:
    shop = make_shop().released("v1")
    wish = place(shop)
    _monitoring.install(wish)
    lock = os.open(f"{_exporter.folder(wish)}/.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    late = subprocess.Popen(_exporter.command(wish), stderr=subprocess.PIPE, text=True)
    wait_until(lambda: f" {late.pid} " in Path("/proc/locks").read_text(), 30, "its wait for the lock")
    for path in (f"{_exporter.folder(wish)}/{_exporter.WISH}", _exporter.textfile(wish)):
        os.unlink(path)
    os.close(lock)

    assert late.communicate(timeout=30)[1].endswith("run hotswap.bluegreen.monitoring again.\n")
    assert late.returncode == 1
    assert not os.path.exists(_exporter.textfile(wish))


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Reads what came to a datagram socket like /dev/log, without priority, time and process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "log"))
        listener.setblocking(False)
        monkeypatch.setattr(_syslog, "ADDRESS", str(tmp_path / "log"))

        def lines() -> list[str]:
            found: list[str] = []
            while True:
                try:
                    found.append(listener.recv(4096).decode("ascii").partition("]: ")[2])
                except BlockingIOError:
                    return found

        yield lines


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"seconds=\d+\.\d+", "seconds=…", line) for line in lines]


def test_installing_swapping_failing_and_going_back_are_a_line_each(make_shop: MakeShop, syslog: Callable[[], list[str]]) -> None:
    shop = make_shop()
    shop.install()
    service = shop.wish.service
    assert plain(syslog()) == [f"event=reload service={service} host=app1 result=ok seconds=…"]

    _fence.raise_to(_hold.fence_folder(shop.wish), 1, "ann@pc (pid 7), release v1")
    by = 'by="ann@pc (pid 7), release v1"'
    assert shop.swap("v1").ok
    assert plain(syslog()) == [f"event=swap service={service} member=app1/{slot} release=v1 result=ok seconds=… {by}" for slot in ("green", "blue")]

    assert not shop.swap("v2", FAULT="crash").ok
    failed, back = plain(syslog())
    assert failed.startswith(f"event=swap service={service} member=app1/green release=v2 previous=v1 result=failed step=check seconds=… {by} why=")
    assert back == f'event=swap service={service} member=app1/green release=v1 previous=v2 result="put back" seconds=… {by}'
    assert _account.read(shop.wish)["app1/green"]["previous"] == "v2"
