"""A release with every ansible-core that the collection is for, and between them with every Python that a host may have.

What cannot be had on this machine is NOT RUN, and the closing lines say so. `make test-matrix` plays all pairs and all scenarios.
"""

from __future__ import annotations

import pytest

from tests.conftest import Counts
from tools.matrix import environments, interpreters, quick
from tools.matrix.table import CORES, Core, of_the_day


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.version)
def test_two_releases_under_requests_without_a_warning(core: Core, counts: Counts) -> None:
    pair = of_the_day(core)
    try:
        hosts = [interpreters.get(version) for version in pair.targets]
        programs = environments.bare(pair)
    except interpreters.Missing as error:
        pytest.skip(f"NOT RUN: ansible-core {core.version} on Python {pair.controller}, hosts with {' and '.join(pair.targets)}: {error}")
    pipelining = CORES.index(core) % 2 == 0
    counts.add("requests during releases with other versions", quick.play(pair, programs, hosts, pipelining, again=False))
