"""A job of AWX, run as AWX runs it: what it hands on, whose lock it has, and what is left when it is cancelled."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import pytest

from tests.awx.jobs import Awx, Job, awx
from tests.drivers import shop
from tests.scenarios import plays
from tools import bed as beds

BOOT = {"FAULT": "slow", "BOOT": "{{ 12 if bluegreen_release == 'v2' else 0 }}"}  # seconds until a program that was started listens


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Awx, beds.Bed]]:
    with awx() as (found, bed):
        found.variables = {**found.variables, "bluegreen_environment": {**BOOT, "HOLD": f"{bed.path}/hold"}}
        yield found, bed


def line(*words: str) -> Callable[[str], bool]:
    """Whether a line of the terminal has these words, one after the other."""
    return lambda text: text.split()[: len(words)] == list(words)


def is_gone(job: Job) -> None:
    assert job.status == "canceled", job.output
    beds.wait_until(lambda: not job.orphans(), 60, f"the end of {job.orphans()}")


def test_a_job_from_a_survey_releases_and_hands_on_what_became_of_it(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    job = found.launch("release.yml", {"bluegreen_release": "v1", "bluegreen_serial": "", "bluegreen_service": "", "bluegreen_lock_timeout": 0})
    assert job.status == "successful", job.output
    assert shop.ask(bed.port).release == "v1"
    assert job.artifacts == {"bluegreen_release": "v1", "bluegreen_verdict": "released"}


def test_jobs_that_are_cancelled_leave_nothing_behind_and_the_next_one_says_whose_lock_it_was_and_repairs(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    held: list[shop.Asking] = []  # answered by blue, which is not drained before

    def in_the_drain(text: str) -> bool:
        if text.startswith("TASK [Stage the release]"):
            held.append(shop.Asking(bed.port, "/hold"))
        return line("app1/blue", "drain", "waiting,")(text)

    with shop.Load(bed.port, clients=2, pause=0.02) as load:
        starting = found.launch("release.yml", release="v2", at=line("app1/green", "check", "waiting,"))
        is_gone(starting)
        draining = found.launch("release.yml", release="v2", at=in_the_drain)
        is_gone(draining)
        assert f"the run that has the lock of shop is gone, it is taken over: ada (AWX job {starting.number}), release v2" in draining.output
        assert shop.ask(bed.port).status == 200
        (bed.path / "hold").touch()
        repaired = found.launch("release.yml", release="v2")
    assert repaired.status == "successful", repaired.output
    assert f"taken over: ada (AWX job {draining.number}), release v2" in repaired.output
    assert held[0].reply().status == 200
    assert (load.failed, load.total > 100) == ([], True)
    assert {shop.ask(port).release for port in (bed.blue, bed.green)} == {"v2"}
    assert repaired.artifacts == {"bluegreen_release": "v2", "bluegreen_verdict": "released"}, "no other release served when it began"


# Every step of a release, as the terminal says that it begins (with -v), and the tasks around the swap.
STEPS = ("switch", "drain", "stop", "point", "start", "check", "enable")
MOMENTS = {
    **{task: lambda text, task=task: text.startswith(f"TASK [{task}") for task in ("Take the lock", "Stage the release", "Swap the release in")},
    **{f"{slot} {step}": line(f"app1/{slot}", step) for slot in ("green", "blue") for step in STEPS},
    "finish": lambda text: text.startswith("TASK [Bring the release to its end"),
}


@pytest.mark.full
def test_a_job_that_is_cancelled_at_any_step_is_repaired_by_the_next_one_and_no_client_notices(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    found.patience = 0.05
    with shop.Load(bed.port, clients=2, pause=0.02) as load:
        for number, (moment, at) in enumerate(MOMENTS.items()):
            job = found.launch("release.yml", release=f"r{number}", at=at, words="-v")
            is_gone(job)
            assert shop.ask(bed.port).status == 200, moment
            repaired = found.launch("release.yml", release=f"r{number}")
            assert repaired.status == "successful", f"{moment}: {repaired.output}"
            assert {shop.ask(port).release for port in (bed.blue, bed.green)} == {f"r{number}"}, moment
            assert load.failed == [], moment


@pytest.mark.full
def test_the_lock_of_a_job_in_another_container_is_told_with_its_seconds_and_waited_for(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    dead = found.launch("release.yml", release="v8", at=line("app1/green", "check", "waiting,"), environment={"FAULT": "slow", "BOOT": "12"})
    is_gone(dead)
    path = bed.path / "bluegreen" / "shop" / "lease.json"
    lease = json.loads(path.read_text())
    lease["owner"]["place"] = "a container that is gone"  # what this machine cannot have: nobody here can look for its processes
    path.write_text(json.dumps(lease))
    refused = found.launch("release.yml", release="v8")
    assert refused.status == "failed"
    assert refused.artifacts == {"bluegreen_release": "v8", "bluegreen_verdict": "refused"}
    assert re.search(rf"ada \(AWX job {dead.number}\), release v8, since .* until .* \(in \d+ s\) unless it gives a sign of life", refused.output)
    waited = found.launch("release.yml", release="v8", lock_timeout=200)
    assert waited.status == "successful", waited.output
    assert re.search(rf"waiting for the lock of shop, for \d+ s more: ada \(AWX job {dead.number}\)", waited.output)


def test_wrong_answers_are_told_all_at_once_by_their_names_and_nothing_is_changed(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    before = plays.picture(bed)
    wrong = {"bluegreen_release": "v9", "bluegreen_lock_timeout": "soon", "bluegreen_canary_by_hand": "yes please", "bluegreen_serial": ""}
    job = found.launch("release.yml", wrong)
    assert job.status == "failed"
    for sentence in (
        "bluegreen_lock_timeout is 'soon'; a number is expected.",
        "bluegreen_canary_by_hand is 'yes please'; true or false is expected.",
        "Nothing was changed.",
    ):
        assert sentence in job.output, sentence
    assert job.artifacts == {}
    assert plays.picture(bed) == before
