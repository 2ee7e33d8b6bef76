"""Which members are meant by a name, and which release they come back to."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal, dump
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _maintained

from tests.unit.simulation import fleet, two_slots

WISHES = fleet({"web1": two_slots(), "web2": two_slots(), "web3": two_slots()}, ["lb1"], local=False).wishes


def host(*completed: tuple[str, int], lacking: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """What a host tells: releases with the tokens of their runs, and where each is not complete."""
    lines = [{"time": float(token), "event": "released", "release": release, "token": token} for release, token in completed]
    return {"past": dump(_history.past(lines)), "releases": {release: {"lacking": paths} for release, paths in (lacking or {}).items()}}


@pytest.mark.parametrize(
    ("given", "members"),
    [
        ("web2", ("web2/blue", "web2/green")),
        ("web3/green, web2/blue", ("web2/blue", "web3/green")),
        (["web3", "web3/blue"], ("web3/blue", "web3/green")),
        ('["web1/blue"]', ("web1/blue",)),
    ],
)
def test_a_host_or_a_member_is_named_in_a_list_or_a_text(given: Any, members: tuple[str, ...]) -> None:
    assert _maintained.members(given, WISHES) == members


@pytest.mark.parametrize("given", ["", None, [], " , "])
def test_somebody_must_be_named(given: Any) -> None:
    with pytest.raises(Refusal, match="bluegreen_members is not set: name hosts or members, as in"):
        _maintained.members(given, WISHES)


def test_a_name_that_nobody_has_is_told_with_the_one_that_was_meant() -> None:
    with pytest.raises(Refusal) as refused:
        _maintained.members("web2, web2/glue, lb1", WISHES)
    assert str(refused.value).splitlines() == [
        "bluegreen_members: web2/glue is no host of shop and no member of one; did you mean web2/blue?",
        "bluegreen_members: lb1 is no host of shop and no member of one; it has web1/blue, web1/green, web2/blue, web2/green, web3/blue, web3/green.",
    ]


def test_a_reason_must_be_given() -> None:
    assert _maintained.reason(" disk change ") == "disk change"
    with pytest.raises(Refusal, match="bluegreen_reason is not set"):
        _maintained.reason(" ")


def test_the_live_release_is_the_last_one_that_was_completed_anywhere() -> None:
    assert _maintained.live({"web1": host(("v1", 1), ("v2", 5)), "web2": host(("v1", 1))})[0] == "v2", "web2 was left out of v2"
    assert _maintained.live({"web1": host(("v2", 5), ("v1", 7))})[0] == "v1"
    with pytest.raises(Refusal, match="no release was ever completed on the hosts of this service"):
        _maintained.live({"web1": host()})


def test_a_release_that_is_not_there_is_refused_with_what_brings_it() -> None:
    roots = {"web1": "/srv/shop", "web2": "/srv/shop"}
    seen = {"web1": host(lacking={"v2": []}), "web2": host(lacking={"v2": ["/srv/shop/green", "/srv/shop/releases"]})}
    _maintained.refuse_unstaged("v2", ["web1/blue", "web2/blue"], seen, roots)
    with pytest.raises(Refusal) as refused:
        _maintained.refuse_unstaged("v2", ["web1/blue", "web2/blue", "web2/green"], seen, roots)
    assert str(refused.value) == (
        "release v2, which the service runs, is not on web2/green: run hotswap.bluegreen.release with bluegreen_release=v2 "
        "for the whole service, which brings it there and leaves the member alone, then enable again. Its mark stays."
    )
    with pytest.raises(Refusal, match="is not on web1/blue: run"):
        _maintained.refuse_unstaged("v3", ["web1/blue"], seen, roots)
