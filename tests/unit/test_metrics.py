"""What a host knows as text for Prometheus, and the rules and the dashboard that stand on it: promtool judges all three."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _metrics, _monitoring, _pack
from ansible_collections.hotswap.bluegreen.plugins.module_utils._metrics import METRICS, Known
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish, dump
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member, Program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import BalancerState, HostState, SlotState

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "monitoring" / "files"
PROMTOOL = "/usr/bin/promtool"
NOW = 10_000.0
MEMBERS = (Member("app1", "blue", {"http": 9502}), Member("app1", "green", {"http": 9503}, backup=True))
WISH = Wish("shop", "app1", "/srv/shop", "", MEMBERS, MEMBERS, Program(("true",)), balancers=("app1",))
RUNS = SlotState("RUNNING", pid=7, release="v2", current="v2", previous="v1", healthy=True, connections=3, others=1)
MARK = {"by": "ann", "why": "disk", "since": 4000.0}
SWAP = {"began": 5000.0, "ended": 5002.5, "previous": "v1", "steps": {"switch": 0.01, "drain": 2.0}}


def seen(slots: dict[str, SlotState], serving: tuple[str, ...] = (), maintenance: dict[str, Any] | None = None, problems: int = 0) -> dict[str, Any]:
    state = HostState("app1", NOW, slots, BalancerState("p", serving, ("p",), True, "", maintenance or {}))
    return {"state": dump(state), "since": {"blue": 6000.0}, "problems": ["?"] * problems}


def samples(known: Known, wish: Wish = WISH, now: float = NOW) -> dict[str, float]:
    """The samples by name and labels, as they stand in the text."""
    rows = [line.rpartition(" ") for line in _metrics.text(wish, known, now).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _space, value in rows}


FULL = Known(
    seen=seen({"blue": RUNS, "green": SlotState("FATAL", current="v2", previous="v1")}, ("app1/blue",), {"app1/green": MARK}, 1),
    lines=[
        {"time": 100.0, "event": "released", "release": "v1"},
        {"time": 200.0, "slot": "blue", "release": "v2", "result": "failed"},
        {"time": 201.0, "slot": "blue", "release": "v1", "result": "put back"},
        {"time": 202.0, "event": "failed", "release": "v2"},
        {"time": 300.0, "event": "rolled back", "release": "v1"},
    ],
    swaps={"app1/blue": SWAP},
    lock_since=NOW - 60,
    switched=9000.0,
    reloads=2,
    problems=1,
)


def test_a_member_is_told_by_release_state_and_health() -> None:
    found = samples(FULL)

    blue = 'service="shop",member="app1/blue",slot="blue"'
    assert found[f'bluegreen_member_info{{{blue},release="v2",previous="v1"}}'] == 1
    assert found[f'bluegreen_member_state{{{blue},state="RUNNING"}}'] == 1
    assert (found[f"bluegreen_member_up{{{blue}}}"], found[f"bluegreen_member_healthy{{{blue}}}"]) == (1, 1)
    assert found[f"bluegreen_member_connections{{{blue}}}"] == 4
    assert found[f"bluegreen_member_release_timestamp_seconds{{{blue}}}"] == 6000


def test_a_member_that_does_not_run_has_no_release() -> None:
    found = samples(FULL)

    green = 'service="shop",member="app1/green",slot="green"'
    assert found[f'bluegreen_member_info{{{green},release="",previous="v1"}}'] == 1
    assert (found[f"bluegreen_member_up{{{green}}}"], found[f"bluegreen_member_healthy{{{green}}}"]) == (0, 0)


def out_since(known: Known, member: str = "app1/green") -> float:
    return samples(known)[f'bluegreen_member_drained_timestamp_seconds{{service="shop",member="{member}",slot="{member[5:]}",balancer="app1"}}']


def test_since_when_a_member_is_out_is_what_its_switch_noted() -> None:
    assert out_since(replace(FULL, swaps={"app1/green": SWAP})) == SWAP["began"]
    assert out_since(FULL, "app1/blue") == 0


def test_without_a_note_it_is_out_since_the_link_last_moved() -> None:
    assert out_since(FULL) == 9000
    served_again = {**SWAP, "steps": {"switch": 0.01, "enable": 0.01}}
    assert out_since(replace(FULL, swaps={"app1/green": served_again})) == 9000
    assert out_since(replace(FULL, switched=0.0)) == NOW


def test_an_idle_slot_is_not_out_while_the_other_one_of_its_host_serves() -> None:
    green = 'bluegreen_member_drained_timestamp_seconds{service="shop",member="app1/green",slot="green",balancer="app1"}'
    assert samples(FULL, replace(WISH, strategy="blue_green"))[green] == 0
    nobody = replace(FULL, seen=seen({"blue": RUNS}, ()))
    assert samples(nobody, replace(WISH, strategy="blue_green"))[green] == 9000


def test_runs_are_counted_and_dated_by_the_history() -> None:
    found = samples(FULL)

    wanted = {"releases_total": 1, "rollbacks_total": 1, "failures_total": 1}
    wanted |= {f"last_{name}_timestamp_seconds": at for name, at in {"success": 300, "failure": 202, "rollback": 300, "put_back": 201}.items()}
    assert {name: found[f'bluegreen_{name}{{service="shop"}}'] for name in wanted} == wanted


def test_the_lock_is_told_where_it_is_kept() -> None:
    age, held = 'bluegreen_lock_age_seconds{service="shop"}', 'bluegreen_lock_held{service="shop"}'
    assert (samples(FULL)[age], samples(FULL)[held]) == (60, 1)
    free = samples(replace(FULL, lock_since=0.0))
    assert (free[age], free[held]) == (0, 0)
    assert age not in samples(replace(FULL, lock_since=None))


def test_a_host_that_is_only_a_balancer_tells_whom_it_serves_and_no_more_of_them() -> None:
    found = samples(Known(seen=seen({}, ("app1/blue",)), reloads=0), replace(WISH, host="lb1", members=()))

    names = {name.partition("{")[0] for name in found}
    assert "bluegreen_member_serving" in names
    assert not names & {"bluegreen_member_info", "bluegreen_member_up", "bluegreen_failures_total"}
    assert found['bluegreen_member_serving{service="shop",member="app1/blue",slot="blue",balancer="lb1"}'] == 1


def test_no_reason_and_no_person_is_in_a_label() -> None:
    assert "ann" not in _metrics.text(WISH, FULL, NOW)
    assert "disk" not in _metrics.text(WISH, FULL, NOW)


@pytest.mark.parametrize("release", ['v"1', "v\\1", "v\n1", 'v1"} 1\nbluegreen_forged{x="', "v\udcff"])
def test_no_value_can_forge_a_sample(release: str) -> None:
    known = Known(seen=seen({"blue": replace(RUNS, release=release)}))

    assert len(_metrics.text(WISH, known, NOW).splitlines()) == len(_metrics.text(WISH, Known(seen=seen({"blue": RUNS})), NOW).splitlines())
    promtool(_metrics.text(WISH, known, NOW), "check", "metrics")


def promtool(text: str, *words: str) -> None:
    done = subprocess.run([PROMTOOL, *words], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_promtool_finds_nothing_in_the_text_with_every_metric_in_it() -> None:
    text = _metrics.text(WISH, FULL, NOW)

    assert set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)) == set(METRICS)
    promtool(text, "check", "metrics")


def test_every_alert_fires_when_it_must_and_not_before() -> None:
    done = subprocess.run([PROMTOOL, "test", "rules", str(Path(__file__).with_name("alerts.yml"))], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_test() -> None:
    rules = yaml.safe_load((FILES / "bluegreen.rules.yml").read_text())["groups"][0]["rules"]
    tested = Path(__file__).with_name("alerts.yml").read_text()

    assert [rule["alert"] for rule in rules if f'alertname="{rule["alert"]}"' not in tested and f"alertname: {rule['alert']}\n" not in tested] == []


def names_in(value: Any) -> set[str]:
    """Every name like a metric of ours anywhere in a document; one that is built of letters that follow is another."""
    return set(re.findall(r"\bbluegreen_[a-z_]+(?![a-z_-])", json.dumps(value)))


@pytest.mark.parametrize("name", ["bluegreen.rules.yml", "bluegreen.json"])
def test_rules_and_dashboard_name_only_what_is_exported(name: str) -> None:
    found = names_in(yaml.safe_load((FILES / name).read_text()))

    assert found and found <= set(METRICS)


def test_the_page_has_every_metric_with_the_words_that_prometheus_shows() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()

    assert [name for name, (_kind, words) in METRICS.items() if f"| `{name}` |" not in page or words not in page] == []


def test_the_dashboard_asks_the_chosen_data_source_and_its_panels_do_not_overlap() -> None:
    board = json.loads((FILES / "bluegreen.json").read_text())

    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "service"]
    asked = [part["datasource"]["uid"] for panel in board["panels"] for part in (panel, *panel["targets"])]
    assert set(asked) == {"${datasource}"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _y in cells) == 23


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    board = json.loads((FILES / "bluegreen.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [note["expr"] for note in board["annotations"]["list"]]
    rules = [{"record": f"q{number}", "expr": expression.replace("$__range", "1h").replace("$service", "shop")} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    done = subprocess.run([PROMTOOL, "check", "rules", str(tmp_path / "rules.yml")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_exporter_is_made_of_our_modules_and_nothing_of_ansible() -> None:
    found = _pack.sources("_export")

    assert {"_export", "_metrics", "_info", "_workers"} <= set(found)
    assert not [name for name, text in found.items() if re.search(r"^\s*(from|import) ansible", text, re.MULTILINE)]


def test_what_a_module_imports_inside_a_function_comes_along() -> None:
    assert {"_steps_jobs", "_steps_member"} <= set(_pack.sources("_steps"))


def test_the_same_modules_make_the_same_file_whenever_it_is_made() -> None:
    with zipfile.ZipFile(io.BytesIO(_monitoring.program())) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_wish_that_the_exporter_keeps_is_the_same_for_every_release() -> None:
    assert _monitoring.wish_text(WISH) == _monitoring.wish_text(replace(WISH, release="v9", rollback=True, lifting=("app1/blue",)))
