"""How long the lock is kept for staging: the slowest host's time, as often as the forks need turns."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _hold
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _lease


def play(*build_timeouts: float) -> dict[str, Any]:
    """A play whose hosts have these build timeouts, as the preflight left them."""
    facts = {f"app{number}": {"bluegreen_staging_seconds": _hold.staging_seconds(seconds)} for number, seconds in enumerate(build_timeouts)}
    return {"ansible_play_hosts_all": list(facts), "hostvars": {host: {"ansible_facts": found} for host, found in facts.items()}}


@pytest.mark.parametrize(("forks", "turns"), [(50, 1), (5, 1), (4, 2), (2, 3), (1, 5)])
def test_few_forks_stage_in_turns(forks: int, turns: int) -> None:
    assert _lease.staging_seconds(play(600, 600, 600, 600, 600), forks) == turns * (3 * 600 + 600)


def test_the_slowest_host_counts() -> None:
    assert _lease.staging_seconds(play(60, 3600), 5) == 3 * 3600 + 600


def test_it_is_never_less_than_the_time_with_which_the_lock_is_taken() -> None:
    assert _lease.staging_seconds(play(1), 5) == _lease.PATIENCE
    assert _lease.staging_seconds({"ansible_play_hosts_all": ["app1"], "hostvars": {"app1": {}}}, 0) == _lease.PATIENCE
