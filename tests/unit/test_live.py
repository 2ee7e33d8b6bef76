"""The variables where nothing is staged: a rollback and a look need neither a release nor what staging needs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _task, _variables, _wish

UNDEFINED = "{{ nobody_set_it }}"


def template(value: Any) -> Any:
    if value == UNDEFINED:
        raise AnsibleError("'nobody_set_it' is undefined")
    return value


def collect(**given: Any) -> dict[str, Any]:
    return _variables.collect({f"bluegreen_{name}": value for name, value in given.items()}, template, _variables.LIVE)


def test_neither_a_release_nor_a_source_nor_a_command_is_needed() -> None:
    wish = _wish.resolve(collect(service="shop"), "app1").wish
    assert (wish.service, wish.release, [member.slot for member in wish.members]) == ("shop", "", ["blue", "green"])


def test_what_only_staging_needs_is_not_even_resolved() -> None:
    assert collect(service="shop", source={"archive": UNDEFINED}, command=UNDEFINED, environment=UNDEFINED, config_files=UNDEFINED)["command"] is None


def test_what_a_release_s_own_record_tells_may_name_a_release_that_is_not_there() -> None:
    found = collect(service="shop", release=UNDEFINED, health_body=UNDEFINED, health_path=UNDEFINED)
    assert (found["release"], found["health_body"], found["health_path"]) == (None, "", "/health")


def test_anything_else_that_cannot_be_resolved_is_told() -> None:
    with pytest.raises(Refusal, match="bluegreen_root cannot be resolved: 'nobody_set_it' is undefined"):
        collect(service="shop", root=UNDEFINED)
    with pytest.raises(Refusal, match="bluegreen_service is not set"):
        collect()


def test_a_rollback_s_wish_says_so_and_a_release_s_does_not() -> None:
    values = collect(service="shop", keep_releases=3)
    assert _wish.resolve(values, "app1", rollback=True).wish.rollback
    assert not _wish.resolve(values, "app1").wish.rollback
    assert _wish.resolve(values, "app1").wish.keep_releases == 3


def test_wrong_values_of_a_rollback_and_of_retention_are_told() -> None:
    wrong = {
        "bluegreen_rollback_to is '../1'; a letter or digit and up to 127 letters, digits and . _ + - are expected.": {"rollback_to": "../1"},
        "bluegreen_rollback_to is 'current', which the collection keeps for itself; choose another name.": {"rollback_to": "current"},
        "bluegreen_keep_releases is -1; 0 or a positive number is expected.": {"keep_releases": -1},
    }
    for sentence, given in wrong.items():
        with pytest.raises(Refusal) as refused:
            _wish.resolve(collect(service="shop", **given), "app1")
        assert str(refused.value) == sentence


def test_the_choice_of_a_rollback_holds_for_its_own_play_alone() -> None:
    """A second play of the same run, a release say, still sees the fact."""
    fact = {"ansible_facts": {"bluegreen_rollback": {"play": "one", "release": "1"}}}

    def in_play(uuid: str) -> Any:
        return SimpleNamespace(_task=SimpleNamespace(_play=SimpleNamespace(_uuid=uuid)))

    assert _task.rollback(in_play("one"), fact)["release"] == "1"
    assert _task.rollback(in_play("two"), fact) == {}
    assert _task.rollback(in_play("one"), {}) == {}
