"""The journal: one line for whatever happens, in one write, on a clock of its own, and read again though it was cut off."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Event, Failure, Refusal, Step
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState, SlotState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _clocks, _journal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._result import Looked, Returned, Turn

EVENT = Event("drain", "app1/blue", "ok", 100.0, 2.5, "said «ü»\n", "app1")


def test_each_thing_that_is_told_is_one_line(tmp_path: Path) -> None:
    journal = _journal.Journal(str(tmp_path))
    state = HostState("app1", 5.0, {"blue": SlotState("RUNNING", pid=7, release="v1")})
    for item in ("a note", Turn(("app1/blue",), 1, 2), EVENT, Looked("before", {"app1": state}), Returned("app1/blue")):
        journal.tell(item)
    journal.tell(Step("drain", "app1", ("app1/blue",)))  # that it begins is in its event
    journal.tell(Failure("app1/blue", "check", "200", "500", ("oh",), "app1"))
    journal.phase("swap", 99.0, {"failed": True, "msg": "why"}, "")
    lines = _journal.read(tmp_path)
    assert [line["kind"] for line in lines] == ["note", "batch", "event", "members", "returned", "failure", "phase"]
    assert all(line["at"] > 1e9 for line in lines)
    note, batch, event, members, returned, failure, phase = lines
    assert note["text"] == "a note"
    assert (batch["members"], batch["number"], batch["of"]) == (["app1/blue"], 1, 2)
    assert (event["step"], event["start"], event["seconds"], event["detail"]) == ("drain", 100.0, 2.5, EVENT.detail)
    assert members["when"] == "before"
    assert members["members"] == {"app1/blue": {"release": "v1", "state": "RUNNING", "pid": 7, "healthy": False, "serving": False, "balancers": []}}
    assert returned["members"] == ["app1/blue"]
    assert (failure["expected"], failure["log"]) == ("200", ["oh"])
    assert (phase["name"], phase["outcome"], phase["detail"], phase["start"]) == ("swap", "failed", "why", 99.0)


@pytest.mark.parametrize(
    ("result", "outcome"),
    [({}, "ok"), ({"skipped": True, "skip_reason": "none"}, "skipped"), ({"ansible_facts": {"bluegreen_verdict": {"app1": "no"}}}, "failed")],
)
def test_a_phase_ends_as_its_result_says(tmp_path: Path, result: dict[str, object], outcome: str) -> None:
    _journal.Journal(str(tmp_path)).phase("migrate", 1.0, result, "app1")
    assert [line["outcome"] for line in _journal.read(tmp_path)] == [outcome]


def test_what_was_cut_off_is_left_out(tmp_path: Path) -> None:
    journal = _journal.Journal(str(tmp_path))
    journal.write("note", text="whole")
    with (tmp_path / _journal.NAME).open("a") as file:
        file.write('[1]\n{"no": "kind"}\n{"kind": "event", "st')
    assert [line["text"] for line in _journal.read(tmp_path)] == ["whole"]


def test_each_run_has_a_directory_of_its_own_for_its_user_alone(tmp_path: Path) -> None:
    one, other = (_journal.begin(f"{tmp_path}/reports", "shop", "v2") for _ in range(2))
    assert one.folder != other.folder
    assert stat.S_IMODE(Path(one.folder).stat().st_mode) == 0o700
    one.write("note", text="x")
    assert stat.S_IMODE(Path(one.folder, _journal.NAME).stat().st_mode) == 0o600


def test_a_directory_that_takes_no_report_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "is no directory" in _journal.problem(str(file / "below"))
    with pytest.raises(Refusal, match=r"bluegreen_report_dir is .*file, where no report can be written"):
        _journal.begin(str(file), "shop", "v2")
    assert _journal.problem(f"{tmp_path}/new/deep") == ""
    assert list(tmp_path.iterdir()) == [file]


def test_without_a_directory_nothing_is_written_and_a_full_disk_ends_no_release() -> None:
    _journal.Journal().tell(EVENT)
    _journal.Journal("/proc/none").tell(EVENT)


def test_the_fact_of_any_host_of_the_play_names_it() -> None:
    facts = {"app1": {}, "app2": {"ansible_facts": {"bluegreen_report": "/r/2"}}}
    assert _journal.of({"hostvars": facts, "ansible_play_hosts_all": ["app1", "app2"]}).folder == "/r/2"
    assert _journal.of({"hostvars": {"app1": {}}, "ansible_play_hosts_all": ["app1"]}).folder == ""


def test_events_are_timed_by_the_controllers_clock() -> None:
    assert _clocks.by_ours([EVENT], 40.0)[0].start == 60.0
