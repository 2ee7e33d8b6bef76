"""When a service may be released: a pure function of a moment and what the user wrote."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _window

from tests.unit.test_wish import resolve


def window(**given: Any) -> _window.Window:
    found = resolve(window={"time_zone": "Europe/Berlin", **given}).window
    assert found
    return found


def at(text: str) -> datetime.datetime:
    """A moment, written in UTC."""
    return datetime.datetime.fromisoformat(f"{text}+00:00")


OFFICE = {"days": "mon-fri", "hours": "09:00-17:00"}


@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        # 2026-11-20 is a Friday, and Berlin one hour ahead of UTC then.
        (OFFICE, "2026-11-20T08:00", "2026-11-20T07:59"),
        (OFFICE, "2026-11-20T15:59", "2026-11-20T16:00"),
        (OFFICE, "2026-11-20T12:00", "2026-11-21T12:00"),
        # In summer it is two.
        (OFFICE, "2026-07-17T07:00", "2026-07-17T15:00"),
        # Over midnight: the hours belong to the day on which they begin.
        ({"days": ["fri"], "hours": "22:00-04:00"}, "2026-11-21T02:59", "2026-11-20T02:59"),
        ({"days": ["fri"], "hours": "22:00-04:00"}, "2026-11-20T21:00", "2026-11-21T21:00"),
        ({"days": ["sun"], "hours": "22:00-04:00"}, "2026-11-23T02:00", "2026-11-22T02:00"),
        # Several, and the other ways to write them.
        ({"days": "mon, fri", "hours": ["06:00-07:00", "20:00-24:00"]}, "2026-11-20T22:59", "2026-11-20T12:00"),
        ({"days": ["sat-mon"], "hours": "00:00-24:00"}, "2026-11-22T23:00", "2026-11-20T12:00"),
        ({"days": '["Friday"]'}, "2026-11-20T12:00", "2026-11-19T12:00"),
        ({"hours": "9:00 - 17:00"}, "2026-11-22T12:00", "2026-11-22T20:00"),
    ],
)
def test_a_window_is_open_inside_and_closed_outside(given: dict[str, Any], inside: str, outside: str) -> None:
    assert window(**given).refusal(at(inside)) == ""
    assert window(**given).refusal(at(outside)) != ""


def test_the_refusal_says_what_the_window_is_what_time_it_is_there_and_when_it_opens() -> None:
    told = window(**OFFICE).refusal(at("2026-11-20T16:30"))
    assert told == (
        "bluegreen_window is mon-fri 09:00-17:00 Europe/Berlin, and it is fri 2026-11-20 17:30 there: nothing is released now. "
        'It opens mon 2026-11-23 09:00; bluegreen_window_override="why it cannot wait" releases all the same, and goes to the history.'
    )
    assert "It opens fri 2026-11-20 09:00" in window(**OFFICE).refusal(at("2026-11-20T07:30"))
    assert "It opens fri 2026-11-27 09:00" in window(days="fri", hours="09:00-10:00").refusal(at("2026-11-20T12:00"))


def test_without_a_window_there_is_none() -> None:
    assert resolve().window is None


EXPECTED = "two times such as 09:00-17:00 (22:00-04:00 goes over midnight) or a list of them are expected."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"days": "mon-fry"}, "bluegreen_window: days is 'mon-fry'; days such as mon or fri, or mon-fri, or a list of them are expected."),
        ({"days": ["monkey"]}, "bluegreen_window: days is 'monkey'; days such as mon or fri, or mon-fri, or a list of them are expected."),
        ({"days": []}, "bluegreen_window: days or hours is empty, so it would never open; take it out for all of them."),
        ({"hours": "9-17"}, f"bluegreen_window: hours is '9-17'; {EXPECTED}"),
        ({"hours": "09:00-09:00"}, f"bluegreen_window: hours is '09:00-09:00'; {EXPECTED}"),
        ({"hours": "09:00-24:30"}, f"bluegreen_window: hours is '09:00-24:30'; {EXPECTED}"),
        ({"time_zone": "Europe/Berlim"}, "bluegreen_window: time_zone 'Europe/Berlim' is no time zone; did you mean Europe/Berlin?"),
        ({"time_zone": "../../etc/passwd"}, "bluegreen_window: time_zone '../../etc/passwd' is no time zone; a name such as Europe/Berlin is expected."),
        ({"time_zone": "Europe"}, "bluegreen_window: time_zone 'Europe' is no time zone; "),
        ({"time_zone": ""}, "bluegreen_window: time_zone is not set; a name such as Europe/Berlin is expected."),
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_meant_is_told_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal) as refused:
        window(**given)
    (told,) = str(refused.value).splitlines()
    assert told.startswith(sentence)


def test_a_controller_without_time_zone_data_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise _window.zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr(_window.zoneinfo, "ZoneInfo", missing)
    monkeypatch.setattr(_window.zoneinfo, "available_timezones", set)
    with pytest.raises(Refusal, match="cannot be looked up, because this controller has no time zone data: install tzdata"):
        window()


def test_a_reason_is_words() -> None:
    assert resolve(window_override=" the shop sells nothing ").window_override == "the shop sells nothing"
    assert resolve(window_override=" ").window_override == ""
    with pytest.raises(Refusal, match="bluegreen_window_override is 'Yes'; the reason in words is expected"):
        resolve(window_override="Yes")
