"""The workflow on a bed: release, check, approve, finish, and the ways back, under load; artifacts travel as AWX lets them travel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from tests.awx.jobs import PROJECT, Awx, Job, awx
from tests.drivers import shop
from tools import bed as beds

NODES = {node["name"]: node for node in yaml.safe_load((PROJECT / "setup.yml").read_text())[0]["vars"]["setup_nodes"]}

pytestmark = pytest.mark.full


@dataclass
class Workflow:
    """A run of the workflow that setup.yml makes: from node to node by how each ended, with the artifacts of all before."""

    place: Awx
    answers: dict[str, Any]
    approved: bool = True
    walked: list[str] = field(default_factory=list)
    artifacts: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)

    def run(self, cancel: Callable[[str], bool] = lambda _line: False, **wrong: Any) -> Workflow:
        """``wrong`` are extra vars by node, for what shall fail there; ``cancel`` says at which line of the release a person cancels it."""
        name = "before"
        while name:
            self.walked.append(name)
            good = self.approved if name == "approve" else self._job(name, wrong.get(name, {}), cancel)
            name = next(iter(NODES[name].get("success" if good else "failure", [])), "")
        return self

    def _job(self, name: str, wrong: dict[str, Any], cancel: Callable[[str], bool]) -> bool:
        at = {"at": cancel} if name == "release" else {}
        job = self.jobs[name] = self.place.launch(f"{name}.yml", {**self.artifacts, **self.answers, **wrong}, **at)
        self.artifacts |= job.artifacts
        return job.status == "successful"


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Awx, beds.Bed]]:
    with awx(bluegreen_strategy="blue_green", bluegreen_old="stay") as (found, bed):
        found.variables = {**found.variables, "check_url": f"{bed.url}/"}
        yield found, bed


def answers(bed: beds.Bed) -> dict[int, Any]:
    """The release that each slot runs, None for one that is stopped."""
    found = {}
    for port in (bed.blue, bed.green):
        try:
            found[port] = shop.ask(port).release
        except OSError:
            found[port] = None
    return found


def test_the_workflow_releases_keeps_the_old_one_until_it_is_approved_and_finish_does_nothing_else(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    assert Workflow(found, {"bluegreen_release": "v1"}).run().walked == ["before", "release", "check", "approve", "finish"]
    with shop.Load(bed.port, clients=2, pause=0.02) as load:
        second = Workflow(found, {"bluegreen_release": "v2"}).run()
    assert second.walked == ["before", "release", "check", "approve", "finish"]
    assert (load.failed, load.total > 100) == ([], True)
    assert sorted(map(str, answers(bed).values())) == ["None", "v2"]
    steps = [text.split()[1] for text in second.jobs["finish"].lines if text.startswith("app1/")]
    assert set(steps) <= {"switch", "drain", "stop", "declare", "goodbye"}, second.jobs["finish"].output
    assert second.jobs["release"].artifacts["bluegreen_previous_release"] == "v1"
    assert second.artifacts["bluegreen_rollback_to"] == "v1"
    third = found.launch("finish.yml", release="v2")
    assert (third.status, third.artifacts["bluegreen_verdict"]) == ("successful", "unchanged")


def test_a_denied_approval_goes_back_in_one_switch_and_the_workflow_ends_as_failed(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    with shop.Load(bed.port, clients=2, pause=0.02) as load:
        denied = Workflow(found, {"bluegreen_release": "v3"}, approved=False).run()
    assert denied.walked == ["before", "release", "check", "approve", "rollback", "failed"]
    assert load.failed == []
    assert shop.ask(bed.port).release == "v2"
    assert "start" not in [text.split()[1] for text in denied.jobs["rollback"].lines if text.startswith("app1/")], "the old one was warm"
    assert denied.jobs["rollback"].artifacts["bluegreen_verdict"] == "rolled_back"
    assert "the service is on v2 again" in " ".join(denied.jobs["failed"].output.split())


def test_a_check_that_fails_goes_back_to_what_was_before_although_artifacts_name_the_new_release(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    failed = Workflow(found, {"bluegreen_release": "v4"}).run(check={"check_url": f"{bed.url}/wrong"} | {"bluegreen_expect": "v9"})
    assert failed.walked == ["before", "release", "check", "rollback", "failed"]
    assert failed.artifacts["bluegreen_rollback_to"] == "v2"
    assert shop.ask(bed.port).release == "v2"


def test_a_release_that_fails_has_gone_back_by_itself_and_the_rollback_finds_nothing_to_do(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    failed = Workflow(found, {"bluegreen_release": "v5"}).run(release={"bluegreen_environment": {"FAULT": "crash"}})
    assert failed.walked == ["before", "release", "rollback", "failed"]
    assert failed.jobs["release"].artifacts["bluegreen_verdict"] == "failed"
    assert "there is nothing to go back from" in failed.jobs["rollback"].output
    assert shop.ask(bed.port).release == "v2"


def test_a_release_that_is_refused_changes_nothing_and_the_rollback_neither(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    before = answers(bed)
    refused = Workflow(found, {"bluegreen_release": "v6"}).run(release={"bluegreen_lock_timeout": "soon"})
    assert refused.walked == ["before", "release", "rollback", "failed"]
    assert "bluegreen_lock_timeout is 'soon'; a number is expected." in refused.jobs["release"].output
    assert "there is nothing to go back from" in refused.jobs["rollback"].output
    assert answers(bed) == before


@pytest.mark.parametrize("moment", ["TASK [Take the lock]", "check   waiting,"])
def test_a_release_that_is_cancelled_is_taken_back_to_what_was_before_it_had_begun_or_not(place: tuple[Awx, beds.Bed], moment: str) -> None:
    found, bed = place
    before = shop.ask(bed.port).release
    with shop.Load(bed.port, clients=2, pause=0.02) as load:
        slow = {"bluegreen_environment": {"FAULT": "slow", "BOOT": "12"}}
        killed = Workflow(found, {"bluegreen_release": f"killed{len(moment)}"}).run(cancel=lambda text: moment in text, release=slow)
    assert killed.jobs["release"].status == "canceled"
    assert killed.walked == ["before", "release", "rollback", "failed"]
    assert load.failed == []
    assert shop.ask(bed.port).release == before == killed.artifacts["bluegreen_rollback_to"]
    status = found.launch("status.yml", expect=before)
    assert status.status == "successful", status.output
