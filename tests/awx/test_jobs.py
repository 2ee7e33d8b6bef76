"""A job of AWX, run as AWX runs it: what it hands on, whose lock it has, and what is left when it is cancelled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.awx.jobs import Awx, awx
from tests.drivers import shop
from tools import bed as beds


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Awx, beds.Bed]]:
    with awx() as found:
        yield found


def test_a_job_from_a_survey_releases_and_hands_on_what_became_of_it(place: tuple[Awx, beds.Bed]) -> None:
    found, bed = place
    job = found.launch("release.yml", {"bluegreen_release": "v1", "bluegreen_serial": "", "bluegreen_window_override": ""})
    assert job.status == "successful", job.output
    assert shop.ask(bed.port).release == "v1"
    assert job.artifacts == {"bluegreen_release": "v1", "bluegreen_verdict": "released"}
