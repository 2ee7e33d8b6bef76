"""A release with every ansible-core that the collection is for, and between them with every Python that a host may have.

One service goes from hand to hand: what one version wrote, the next one reads. What cannot be had on this machine is NOT RUN,
and the closing lines say so. `make test-matrix` plays all pairs and all scenarios.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Counts
from tools import bed as beds
from tools.matrix import environments, interpreters
from tools.matrix.quick import Ansible, Quick
from tools.matrix.table import CORES, Core, of_the_day


@pytest.fixture(scope="module")
def quick() -> Iterator[Quick]:
    with beds.temporary() as bed:
        yield Quick(bed)


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.version)
def test_it_releases_under_requests_without_a_warning(core: Core, quick: Quick, counts: Counts) -> None:
    pair = of_the_day(core)
    try:
        host, *installation = (interpreters.get(version) for version in pair.targets)
        ansible = Ansible(environments.bare(pair), pipelining=CORES.index(core) % 2 == 0)
    except interpreters.Missing as error:
        pytest.skip(f"NOT RUN: ansible-core {core.version} on Python {pair.controller}, hosts with {' and '.join(pair.targets)}: {error}")
    first = quick.number < 0
    if first:
        quick.release(ansible, host, *(installation or [host]))  # the first one of all: no requests yet
    before = quick.requests
    quick.release(ansible, host, *(() if first else installation))
    assert quick.requests > before
    counts.add("requests during releases with other versions", quick.requests - before)
