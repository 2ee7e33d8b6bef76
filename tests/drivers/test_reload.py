"""A release that running processes take in place, by a signal: proven, or said to be impossible and swapped. Real gunicorn and PHP under supervisord."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _info, _processes, _retention, _stage
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Program
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runner

from tests.conftest import Counts
from tests.drivers.conftest import MakeFleet, next_service
from tests.drivers.shop import APPS, Asking, InProcess, Load, Shop, altered, ask, make_wish, new_ports, words
from tools.bed import PYTHON, Bed, wait_until

GUNICORN = (str(Path(PYTHON).parent / "gunicorn"), "--workers", "2", "--bind", "$BLUEGREEN_ADDRESS:$PORT", "reloads:app")
PHP = ("php", "server.php")
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "php" / "app"


@dataclass
class Reloading(Shop):
    """A service whose release is a directory of ``files``, and whose strategy is to reload."""

    files: dict[str, str] = field(default_factory=dict)

    def stage(self, release: str, **environment: str) -> Wish:
        wish = replace(self.wish, release=release)
        archive = self.bed.path / f"{self.wish.service}-{release}.tar"
        if not archive.exists():
            with tarfile.open(archive, "w") as tar:
                for name, text in self.files.items():
                    about = tarfile.TarInfo(name)
                    about.size, about.mtime = (
                        len(text),
                        1_700_000_000,
                    )  # as of a tree that keeps its times; OPcache leaves alone what is younger than two seconds
                    tar.addfile(about, io.BytesIO(text.encode()))
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        _stage.stage(wish, _stage.Source("app.tar", f"sha256:{digest}", str(archive)), _stage.Build(), environment)
        return wish

    def steps(self, done: _runner.Result, slot: str) -> list[str]:
        return [event.step for event in done.events if event.member == self.id(slot)]

    def said(self) -> list[str]:
        return [told for told in self.told if isinstance(told, str)]

    def rolled_back(self, release: str) -> _runner.Result:
        wish = replace(self.wish, release=release, rollback=True)
        return _runner.swap([wish], InProcess({wish.host: self.client}), self.told.append)


@pytest.fixture
def made() -> Iterator[list[Shop]]:
    shops: list[Shop] = []
    yield shops
    for one in shops:
        one.remove()


def gunicorn(bed: Bed, made: list[Shop], command: tuple[str, ...] = GUNICORN, signal: str = "HUP", seconds: float = 30.0) -> Reloading:
    wish = make_wish(bed, next_service(), new_ports(2), strategy="reload", runtime="gunicorn")
    wish = altered(wish, program={"command": command, "stop_timeout": 20}, reload={"signal": signal, "timeout": seconds}, boot_timeout=30.0)
    made.append(shop := Reloading(bed, wish, files={"reloads.py": (APPS / "reloads.py").read_text()}))
    return shop


def php(bed: Bed, made: list[Shop], command: tuple[str, ...] = PHP) -> Reloading:
    wish = make_wish(bed, next_service(), new_ports(2), strategy="reload", runtime="swoole", health=Health(interval=0.02), program=Program(command))
    wish = altered(wish, program={"start_seconds": 0, "log_dir": f"{wish.root}/log"}, reload={"signal": "USR1", "timeout": 30.0})
    made.append(shop := Reloading(bed, wish, files={path.name: path.read_text() for path in EXAMPLE.iterdir()}))
    return shop


def test_gunicorn_takes_a_release_in_place_under_load_and_goes_back_in_place(bed: Bed, made: list[Shop]) -> None:
    shop = gunicorn(bed, made).released("v1")  # type: ignore[assignment]  # it is the kind that was made
    before = shop.pids()
    with Load(shop.port, clients=3) as load:
        wait_until(lambda: load.total > 20, what="the load")
        slow = Asking(shop.port, "/slow")
        done = shop.swap("v2")
        wait_until(lambda: load.answered.get("blue v2", 0) > 10, what="answers of the new release")
    assert done.ok, words(done, shop)
    assert load.failed == []
    assert slow.reply().status == 200, "a request that was begun before the reload is finished"
    assert shop.steps(done, "blue") == shop.steps(done, "green") == ["point", "reload", "check"]
    assert shop.pids() == before, "nothing was stopped"
    assert shop.releases() == {"blue": "v2", "green": "v2"}
    assert shop.state("v2").slots["blue"].mark == "good"

    again = shop.swap("v2")
    assert again.ok and not again.changed and not again.events
    the_note_tells_of_its_process_alone(shop)

    assert shop.swap("v3").ok
    assert "v1" in _retention._needed(replace(shop.wish, release="v3"), shop.client, []), "it is the processes' working directory"

    back = shop.rolled_back("v2")
    assert back.ok and shop.steps(back, "blue") == ["point", "reload", "check"]
    assert shop.pids() == before and shop.releases() == {"blue": "v2", "green": "v2"} and shop.ask().release == "v2"

    assert not shop.do("blue", "point", release="v3").failure
    shop.client.signal(f"{shop.wish.service}-blue", "HUP")
    wait_until(lambda: ask(shop.wish.member("blue").port).release == "v3", what="the workers of a run that was cut off before its proof")
    assert shop.releases() == {"blue": "v2", "green": "v2"}, "nothing was proven"
    rest = shop.swap("v3")
    assert rest.ok and shop.steps(rest, "blue") == ["point", "reload", "check"] and shop.pids() == before


def worth_a_look(shop: Shop, slot: str = "blue") -> list[str]:
    found: list[str] = _info.look(shop.wish, keeps_lease=False)["hints"][slot]
    return found


def the_note_tells_of_its_process_alone(shop: Shop) -> None:
    note, pid = Path(_processes.reloaded_note(f"{shop.wish.root}/blue")), shop.pid("blue")
    text = note.read_text()
    about = json.loads(text)
    assert worth_a_look(shop) == []
    note.write_text(json.dumps({**about, "since": about["since"] + 100_000_000, "release": "v1"}))
    answers, worker = worth_a_look(shop)
    assert answers == "answers as release v2 (header: X-Release), and was to run v1"
    assert worker.startswith("has a worker from before its reload, which may answer with the old release: pid ")
    for wrong in (json.dumps({**about, "pid": about["pid"] + 1}), json.dumps({**about, "start": about["start"] + 1}), "{torn", "[]"):
        note.write_text(wrong)
        assert _processes.running_release(pid, str(note.parent)) == "v1"
    note.write_text(text)
    assert _processes.running_release(pid, str(note.parent)) == "v2"


def test_behind_two_balancers_no_balancer_is_told_anything_and_a_new_environment_is_swapped(fleet_of: MakeFleet) -> None:
    fleet = fleet_of(balancers=2, strategy="reload", program={"command": GUNICORN, "stop_timeout": 20}, reload={"signal": "HUP"}, boot_timeout=30.0)
    for name, app in fleet.apps.items():
        fleet.apps[name] = Reloading(app.bed, app.wish, files={"reloads.py": (APPS / "reloads.py").read_text()})
    fleet.install()
    assert fleet.swap("v1").ok
    before = [app.pids() for app in fleet.apps.values()]
    done = fleet.swap("v2")
    assert done.ok and {(event.step, event.host) for event in done.events} == {(step, app) for step in ("point", "reload", "check") for app in fleet.apps}
    assert [app.pids() for app in fleet.apps.values()] == before
    assert all(app.state("v2").slots[slot].mark == "good" for app in fleet.apps.values() for slot in app.pids())
    assert not fleet.swap("v2").changed
    assert fleet.swap("v3", TOKEN="new").ok and [app.pids() for app in fleet.apps.values()] != before


def test_what_only_a_start_takes_is_swapped_and_said_by_name(bed: Bed, made: list[Shop]) -> None:
    shop = gunicorn(bed, made).released("v1")
    done = shop.swap("v2", TOKEN="secret")
    assert done.ok, words(done, shop)
    assert "reload" not in shop.steps(done, "blue") and "stop" in shop.steps(done, "blue")
    assert f"{shop.id('blue')}: swapped, not reloaded: bluegreen_environment (TOKEN) changed, which a start alone takes" in shop.said()
    assert "secret" not in str(shop.told)
    assert shop.releases() == {"blue": "v2", "green": "v2"}


def test_code_that_was_loaded_before_the_workers_forked_is_seen_and_swapped(bed: Bed, made: list[Shop]) -> None:
    shop = gunicorn(bed, made, (*GUNICORN[:1], "--preload", *GUNICORN[1:])).released("v1")
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    first = next(event for event in done.events if event.step == "reload")
    assert first.outcome == "vain" and "all 2 workers are new and its answers show release v1" in first.detail
    told = [item.step for item in shop.told if isinstance(item, Event) and item.member == shop.id("green")]
    assert "switch" in told[len(told) - told[::-1].index("reload") :][:1], "and what was to follow it was not done"
    assert [event.step for event in done.events].count("reload") == 1, "it was tried once, in one slot, and not again with this release"
    assert any("swapped, not reloaded: it was tried in green: all 2 workers are new" in text for text in shop.said())
    assert shop.releases() == {"blue": "v2", "green": "v2"} and shop.ask().release == "v2"
    assert not shop.swap("v2").changed


def test_a_signal_that_is_not_caught_is_not_sent(bed: Bed, made: list[Shop]) -> None:
    """Most signals end a process that has no handler for them."""
    command = (PYTHON, "-S", "web.py")
    shop = gunicorn(bed, made, command)
    shop.files = {"web.py": (APPS / "web.py").read_text()}
    shop.wish = altered(shop.wish, reload={"shown": {"json": "release"}})
    shop.released("v1")
    before = shop.pids()
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    assert any(f"its process (pid {before['green']}) does not catch HUP" in text for text in shop.said())
    assert shop.releases() == {"blue": "v2", "green": "v2"}


def test_a_release_that_is_ill_after_a_reload_is_swapped_for_the_one_before(bed: Bed, made: list[Shop]) -> None:
    shop = gunicorn(bed, made).released("v1")
    shop.wish = altered(shop.wish, boot_timeout=2.0)
    shop.files["BROKEN"] = ""
    done = shop.swap("v2")
    assert not done.ok
    assert shop.steps(done, "green")[:3] == ["point", "reload", "check"]
    assert shop.releases() == {"blue": "v1", "green": "v1"} and shop.serving() == {"blue", "green"}
    assert shop.state("v2").slots["green"].current == "v1"


def test_workers_that_boot_for_longer_than_an_answer_may_take_are_waited_for(bed: Bed, made: list[Shop]) -> None:
    shop = gunicorn(bed, made).released("v1")
    shop.wish, shop.files["BOOT"] = altered(shop.wish, health={"timeout": 0.2}), "1.5"
    done = shop.swap("v2")
    assert done.ok and shop.steps(done, "blue") == shop.steps(done, "green") == ["point", "reload", "check"], shop.said()


@pytest.mark.full
def test_ten_releases_in_place_under_load_lose_no_request(bed: Bed, made: list[Shop], counts: Counts) -> None:
    shop = gunicorn(bed, made).released("v0")
    before, seconds = shop.pids(), []
    with Load(shop.port, clients=6) as load:
        wait_until(lambda: load.total > 20, what="the load")
        for number in range(1, 11):
            done = shop.swap(f"v{number}")
            assert done.ok, words(done, shop)
            seconds += [sum(event.seconds for event in done.events if event.member == shop.id(slot)) for slot in ("blue", "green")]
    assert load.failed == [] and shop.pids() == before
    counts.add("requests during ten releases in place, none failed", load.total)
    counts.add("seconds that the slowest of twenty members took", round(max(seconds), 2))


@pytest.mark.parametrize("opcache", ["0", "1"])
def test_php_takes_a_release_in_place(bed: Bed, made: list[Shop], opcache: str) -> None:
    shop = php(bed, made, ("php", "-d", f"opcache.enable_cli={opcache}", "server.php")).released("v1")
    before = shop.pids()
    with Load(shop.port, clients=2) as load:
        wait_until(lambda: load.total > 10, what="the load")
        done = shop.swap("v2")
        wait_until(lambda: load.answered.get("blue v2", 0) > 10, what="answers of the new release")
    assert done.ok, words(done, shop)
    assert load.failed == []
    assert shop.steps(done, "blue") == ["point", "reload", "check"] and shop.pids() == before
    assert ["opcache.enable_cli is on" in text for text in worth_a_look(shop)] == [True] * int(opcache)


def test_php_that_opcache_keeps_old_is_seen_and_swapped(bed: Bed, made: list[Shop]) -> None:
    """OPcache keeps what it has once seen behind the link ``current``, for all workers."""
    shop = php(bed, made, ("php", "-d", "opcache.enable_cli=1", "server.php"))
    shop.files["server.php"] = shop.files["server.php"].replace("require realpath($current)", "require $current")
    shop.released("v1")
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    assert any("its answers show release v1" in text for text in shop.said()), shop.said()
    assert shop.releases() == {"blue": "v2", "green": "v2"} and shop.ask().release == "v2"


def test_a_changed_main_program_is_swapped(bed: Bed, made: list[Shop]) -> None:
    shop = php(bed, made).released("v1")
    shop.files["server.php"] += "// a change\n"
    done = shop.swap("v2")
    assert done.ok, words(done, shop)
    assert f"{shop.id('green')}: swapped, not reloaded: server.php changed, which a start alone reads" in shop.said()

    shop.wish = altered(shop.wish, program={"command": ("true",)})  # a rollback does not know the command
    back = shop.rolled_back("v1")
    assert back.ok and "stop" in shop.steps(back, "blue"), "the way back has the other main program, too"
