"""Which programs of somebody else's a slot takes over: one sentence for each rule that is broken."""

from __future__ import annotations

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _adopt
from ansible_collections.hotswap.bluegreen.plugins.module_utils._release import SlotPlace

from tests.unit.test_wish import resolve, sentences


def test_a_slot_takes_over_a_program_or_one_of_a_group() -> None:
    assert resolve(adopt={"blue": "web1", "green": "web:web_01"}).wish.adopt == {"blue": "web1", "green": "web:web_01"}
    assert resolve().wish.adopt == {}


@pytest.mark.parametrize(
    ("adopt", "sentence"),
    [
        ({"red": "web1"}, "bluegreen_adopt: 'red' is no slot of bluegreen_slots."),
        ({"blue": "web 1"}, "bluegreen_adopt: 'web 1' for blue is not a program of yours; its name as supervisorctl status shows it is expected."),
        ({"blue": "shop-green"}, "bluegreen_adopt: 'shop-green' for blue is not a program of yours; its name as supervisorctl status shows it is expected."),
        ({"blue": "web1", "green": "web1"}, "bluegreen_adopt names one program for two slots; each slot has a process of its own."),
    ],
)
def test_what_cannot_be_meant_is_told(adopt: dict[str, str], sentence: str) -> None:
    assert sentences(adopt=adopt) == [sentence]


def test_the_release_that_a_program_counts_as_is_none_that_a_user_can_name() -> None:
    assert _adopt.program_of(_adopt.release_of("web1")) == "web1"
    assert _adopt.program_of("v1") == _adopt.program_of(None) == ""
    assert sentences(release=_adopt.release_of("web1"))[0].startswith("bluegreen_release is '@web1'")
    assert SlotPlace("/nowhere", "blue").record("@web1") == {}
