"""The walk of a member on a real host, and every guard on the way: each of these fails when its guard is taken out."""

from __future__ import annotations

from tests.drivers.shop import Shop


def test_a_release_walks_through_both_slots_standby_first(shop: Shop) -> None:
    shop.released("v1")
    workers = shop.workers()
    done = shop.swap("v2")
    assert done.ok and done.changed and done.reloads == 0
    assert [event.member for event in done.events if event.step == "enable"] == ["app1/green", "app1/blue"]
    assert [event.step for event in done.events if event.member == "app1/blue"] == ["switch", "drain", "stop", "point", "start", "check", "enable"]
    assert shop.releases() == {"blue": "v2", "green": "v2"}
    assert shop.serving() == {"blue", "green"}
    assert shop.ask().release == "v2"
    assert shop.workers() == workers, "nginx was reloaded"


def test_the_same_release_again_changes_nothing(shop: Shop) -> None:
    shop.released("v1")
    before = shop.pids()
    done = shop.swap("v1")
    assert done.ok and not done.changed and not done.events
    assert shop.pids() == before
