"""What becomes of each variable on an engine: said for every one, once; what cannot be done is refused by name."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _variables
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _mapping, _resolve

ROOT = Path(__file__).resolve().parents[3]
VARIABLES = sorted(name.removeprefix("bluegreen_") for name in _variables.spec("release"))
CELLS = [(name, engine, row.of(engine)) for row in _mapping.TABLE for name in row.names for engine in _mapping.TITLES]
REFUSED = [(name, engine) for name, engine, cell in CELLS if cell.how == "no"]


def test_every_variable_is_in_exactly_one_row() -> None:
    assert sorted(name for row in _mapping.TABLE for name in row.names) == VARIABLES


@pytest.mark.parametrize("engine", _mapping.TITLES)
def test_each_cell_says_what_becomes_of_it(engine: str) -> None:
    assert Counter(cell.how for _name, one, cell in CELLS if one == engine).keys() == {"as", "left", "no"}
    assert [name for name, one, cell in CELLS if one == engine and len(cell.text) < 8 and cell.text != "replicas"] == []


@pytest.mark.parametrize(("name", "engine"), REFUSED)
def test_a_variable_that_an_engine_cannot_do_is_refused_by_its_name_and_what_to_do_instead(name: str, engine: str) -> None:
    (sentence,) = _mapping.refusals(engine, {name, "service", "slots"})

    assert sentence.startswith(f"bluegreen_{name} cannot be done on {_mapping.TITLES[engine]}: ")
    assert sentence.endswith(". Take it away for this engine.")


def test_what_has_no_meaning_on_an_engine_may_stay_set() -> None:
    assert _mapping.refusals("kubernetes", {"slots", "listen", "runtime", "cron"}) == []
    assert len(_mapping.refusals("swarm", {"slots", "listen", "runtime", "cron"})) == 1


def test_a_refused_variable_is_told_before_anything_is_done_and_all_of_them_at_once() -> None:
    given = {"bluegreen_engine": "swarm", "bluegreen_service": "shop", "bluegreen_release": "1", "bluegreen_image": "shop"}
    given |= {"bluegreen_cron": [{"name": "tidy", "schedule": "@daily", "command": "bin/tidy", "scope": "fleet"}], "bluegreen_shared_paths": ["data"]}
    values = _variables.collect(given, lambda value: value, _variables.ENGINE)

    with pytest.raises(Refusal) as told:
        _resolve.resolve(values, _variables.given(given, lambda value: value))

    assert re.findall(r"^bluegreen_\w+", str(told.value), re.MULTILINE) == ["bluegreen_cron", "bluegreen_shared_paths"]


def test_the_page_shows_the_table() -> None:
    assert _mapping.table() in (ROOT / "docs" / "engines.md").read_text()


def test_the_table_has_a_row_of_three_cells_for_each_entry() -> None:
    for line in _mapping.table().splitlines():
        assert len(re.split(r"(?<!\\)\|", line)) == 5, line


def test_a_strategy_that_no_engine_has_is_refused_with_where_to_go() -> None:
    for engine, strategy in (("swarm", "blue_green"), ("kubernetes", "canary"), ("kubernetes", "reload")):
        given = {"bluegreen_engine": engine, "bluegreen_service": "shop", "bluegreen_release": "1", "bluegreen_image": "shop", "bluegreen_strategy": strategy}
        with pytest.raises(Refusal, match=rf"^bluegreen_strategy is {strategy}, and .* has rolling.*: .*Argo Rollouts or Flagger"):
            _resolve.resolve(_variables.collect(given, lambda value: value, _variables.ENGINE), ())
