"""Old releases on a real host: what runs stays, what goes goes everywhere, and what a cut-off removal leaves is no release."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _files, _info, _release, _retention

from tests.drivers.conftest import MakeShop
from tests.drivers.shop import Shop


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """Three releases in a row, of which the last one runs, and one that failed before it."""
    shop = make_shop(keep_releases=1)
    shop.install()
    for release in ("v1", "v2", "bad"):
        shop.stage(release)
    assert shop.swap("v3").ok
    for event, release in (("released", "v1"), ("released", "v2"), ("failed", "bad"), ("released", "v3")):
        _release.remember(shop.wish.root, event=event, release=release)
    return shop


def left(shop: Shop, release: str) -> list[str]:
    """Everything of the release that is still on disk."""
    return sorted(str(path.relative_to(shop.wish.root)) for path in Path(shop.wish.root).rglob("*") if release in path.name)


def prune(shop: Shop, keep: int = 1) -> _retention.Removed:
    return _retention.prune(replace(shop.wish, release="v3", keep_releases=keep), shop.client)


def test_what_is_not_needed_goes_everywhere_and_the_failed_one_first(shop: Shop) -> None:
    assert prune(shop, keep=0) == _retention.Removed(), "0 keeps all"
    assert prune(shop) == _retention.Removed(("bad", "v1"))
    assert left(shop, "v1") == left(shop, "bad") == []
    assert set(_info.on_disk(shop.wish)) == {"v2", "v3"}, "what runs, and what a rollback goes to"
    assert set(shop.releases().values()) == {"v3"}
    assert prune(shop) == _retention.Removed()


def test_what_a_slot_runs_uses_or_used_before_stays_however_old(shop: Shop) -> None:
    for release in ("v4", "v5"):
        shop.stage(release)
        _release.remember(shop.wish.root, event="released", release=release)
    _files.link("v4", f"{shop.wish.root}/blue/current")
    _files.link("v5", f"{shop.wish.root}/green/current")
    _files.link("v2", f"{shop.wish.root}/green/previous")
    assert _retention.prune(replace(shop.wish, release="v5", keep_releases=1), shop.client).releases == ("bad", "v1")
    assert set(_info.on_disk(shop.wish)) == {"v2", "v3", "v4", "v5"}, "both slots run v3"


def test_what_a_cut_off_removal_left_is_no_release_and_goes_with_the_next(shop: Shop) -> None:
    place = _release.releases(shop.wish.root)
    place.forget_record("v1")
    assert _info.on_disk(shop.wish)["v1"]["lacking"] == [place.path]
    _release.SlotPlace(shop.wish.root, "blue").forget_record("v1")
    assert prune(shop).releases == ("v1", "bad")
    assert left(shop, "v1") == []


def test_a_tree_that_cannot_be_removed_is_told_and_the_rest_goes(shop: Shop, tmp_path: Path) -> None:
    tree, elsewhere = Path(shop.wish.root, "blue", "v1"), tmp_path / "v1"
    tree.rename(elsewhere)
    tree.symlink_to(elsewhere)
    removed = prune(shop)
    assert removed.releases == ("bad", "v1")
    assert len(removed.problems) == 1 and removed.problems[0].startswith(f"{tree} is no release any more, but could not be removed: ")
    assert (elsewhere / "web.py").exists()
    assert left(shop, "v1") == [f"blue/{tree.name}"]
    assert _release.SlotPlace(shop.wish.root, "blue").record("v1") == {}


def test_nothing_goes_while_somebody_stages(shop: Shop) -> None:
    with _files.locked(f"{shop.wish.root}/releases/.lock"):
        removed = prune(shop)
    assert removed.releases == ()
    assert f"pid {os.getpid()}" in removed.problems[0] and removed.problems[0].startswith("no old release was removed: ")
    assert set(_info.on_disk(shop.wish)) == {"v1", "v2", "v3", "bad"}
