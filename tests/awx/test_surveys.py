"""Surveys: each question is a variable of ours, as AWX would take it, and whatever is answered is read or told by its name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _values, _variables

from tests.awx.jobs import PROJECT

SURVEYS: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted((PROJECT / "surveys").glob("*.json"))}
QUESTIONS = [(name, question) for name, survey in SURVEYS.items() for question in survey["spec"]]
BY_VARIABLE: dict[str, dict[str, Any]] = {question["variable"]: question for _name, question in QUESTIONS}
SPEC = _variables.spec("release")
SERVICE = {"bluegreen_service": "shop", "bluegreen_release": "v1", "bluegreen_command": "bin/server", "bluegreen_source": {"directory": "/builds"}}
KINDS = {"text": str, "textarea": str, "integer": int, "multiplechoice": str}


def collected(**given: Any) -> dict[str, Any]:
    return _variables.collect({**SERVICE, **given}, lambda value: value)


def refused(**given: Any) -> list[str]:
    with pytest.raises(Refusal) as told:
        collected(**given)
    return str(told.value).splitlines()


@pytest.mark.parametrize(("survey", "question"), QUESTIONS, ids=lambda one: one if isinstance(one, str) else one["variable"])
def test_awx_takes_the_question_and_the_spec_knows_its_variable(survey: str, question: dict[str, Any]) -> None:
    option = SPEC[question["variable"]]
    assert {"question_name", "question_description", "required", "type", "variable"} <= question.keys()
    assert question["question_description"].endswith(".")
    assert question["default"] == "" or isinstance(question["default"], KINDS[question["type"]])
    assert all(question[limit] is None or isinstance(question[limit], int) for limit in ("min", "max"))
    if question["type"] == "multiplechoice":
        offered = question["choices"].split("\n")
        known = option.get("choices", ["true", "false"] if option["type"] == "bool" else [])
        assert offered == [str(choice) for choice in known]
        assert question["default"] in ("", *offered)
    if question["type"] == "integer":
        assert option["type"] in ("int", "float")
    if option.get("required"):
        assert question["required"]


@pytest.mark.parametrize("survey", SURVEYS)
def test_no_question_is_asked_twice(survey: str) -> None:
    asked = [question["variable"] for question in SURVEYS[survey]["spec"]]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("variable", sorted(BY_VARIABLE))
def test_an_answer_that_is_empty_is_none_given(variable: str) -> None:
    name = variable.removeprefix("bluegreen_")
    if SPEC[variable].get("required"):
        assert refused(**{variable: ""}) == [f"{variable} is not set and has no default: set it in group_vars, in the play's vars, or with -e {variable}=…."]
    else:
        assert collected(**{variable: ""})[name] == collected()[name]


@pytest.mark.parametrize("variable", sorted(name for name, option in SPEC.items() if not option.get("required")))
def test_every_variable_may_be_left_empty(variable: str) -> None:
    name = variable.removeprefix("bluegreen_")
    assert collected(**{variable: ""})[name] == collected()[name]


@pytest.mark.parametrize(
    ("variable", "answer", "sentence"),
    [
        ("bluegreen_lock_timeout", "soon", "bluegreen_lock_timeout is 'soon'; a number is expected."),
        ("bluegreen_lock_timeout", "5 min", "bluegreen_lock_timeout is '5 min'; a number is expected."),
        ("bluegreen_keep_releases", "1.5", "bluegreen_keep_releases is '1.5'; a whole number is expected."),
        ("bluegreen_keep_releases", 1.5, "bluegreen_keep_releases is 1.5; a whole number is expected."),
        ("bluegreen_canary_by_hand", "yes please", "bluegreen_canary_by_hand is 'yes please'; true or false is expected."),
        ("bluegreen_on_failure", "Fleet", "bluegreen_on_failure is 'Fleet'; one of stop, host, fleet is expected."),
        ("bluegreen_release", 1.10, "bluegreen_release is 1.1; YAML may have cut it (1.10 is read as 1.1): put it in quotes."),
        ("bluegreen_shared_paths", "storage, logs", "bluegreen_shared_paths is a text; a list is expected."),
        ("bluegreen_environment", "APP_ENV=production", "bluegreen_environment is a text; a dictionary is expected."),
        ("bluegreen_rollback_to", ["v1"], "bluegreen_rollback_to is a list; a text is expected (in quotes, if YAML takes it for something else)."),
    ],
)
def test_an_answer_of_a_wrong_type_is_told_in_one_sentence(variable: str, answer: Any, sentence: str) -> None:
    assert refused(**{variable: answer}) == [sentence]


def test_texts_that_stand_for_something_else_are_read() -> None:
    found = collected(bluegreen_lock_timeout="60", bluegreen_canary_by_hand="true", bluegreen_shared_paths='["storage"]', bluegreen_keep_releases="3")
    assert (found["lock_timeout"], found["canary_by_hand"], found["shared_paths"], found["keep_releases"]) == (60.0, True, ["storage"], 3)


@pytest.mark.parametrize("answer", ["web1, web2/blue", "web1\nweb2/blue", "web1,\nweb2/blue\n", '["web1", "web2/blue"]'])
def test_a_list_is_answered_with_commas_or_line_by_line(answer: str) -> None:
    assert _values.listed(answer) == ["web1", "web2/blue"]
