"""A host of which every member is in maintenance keeps its jobs, too."""

from __future__ import annotations

from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Job, Member, Program
from ansible_collections.hotswap.bluegreen.plugins.module_utils._states import HostState, JobState
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _singles

QUEUE = Job("queue", ("x",), scope="fleet")
PUSH = Job("push", ("x",), scope="host")


def wish(host: str) -> Wish:
    member = Member(host, "main", {"http": 9502})
    return Wish("shop", host, "/srv/shop", "v2", (member,), (), Program(("x",)), jobs=(QUEUE, PUSH), fleet=("web1", "web2"))


def test_neither_its_own_worker_nor_the_fleet_s_moves() -> None:
    old = tuple(JobState(f"worker:{name}", pid=7, release="v1") for name in ("queue", "push"))
    seen = {"web1": HostState("web1", 0, {}, jobs=old), "web2": HostState("web2", 0, {})}
    everywhere = _singles.decide(_singles.Sight({"web1": wish("web1"), "web2": wish("web2")}, seen))
    assert {(move.job, move.target) for move in everywhere} == {("worker:queue", "web1"), ("worker:push", "web1"), ("worker:push", "web2")}
    without = _singles.decide(_singles.Sight({"web2": wish("web2")}, seen))
    assert {(move.job, move.target) for move in without} == {("worker:queue", ""), ("worker:push", "web2")}
    assert any(move.told == "worker:queue stays as it is on web1, which this run does not change" for move in without)
