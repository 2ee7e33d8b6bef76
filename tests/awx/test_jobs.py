"""A job of AWX, run as AWX runs it: what it hands on, whose lock it has, and what is left when it is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.awx.jobs import Awx, Job, awx
from tests.drivers import shop
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

    with shop.Load(bed.port, clients=2) as load:
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
