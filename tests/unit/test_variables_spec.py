"""The list of variables is one: what is documented is used, what is used is documented, and all that is made from it is in step."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _metrics
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _topology, _values, _variables, _wish
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _mapping, _resolve

from tools import variables

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("release", "supervisor_program", "nginx_upstream", "monitoring", "swarm_service", "kubernetes_deployment", "watch")
TYPES = {"str", "int", "float", "bool", "path", "list", "dict", "raw"}
# Read by our playbooks, not by the wish.
OF_PLAYBOOKS = {
    "packages": "playbooks/install.yml",
    "monitoring": "playbooks/install.yml",
    "unlock_reason": "playbooks/unlock.yml",
    "status_format": "playbooks/status.yml",
    "environment_kind": "roles/watch/tasks/main.yml",
}
OF_PLAYBOOKS |= {"members": "playbooks/drain.yml", "reason": "playbooks/drain.yml", "promote_to": "playbooks/promote.yml", "expect": "playbooks/status.yml"}


class Noted(dict[str, Any]):
    """Values that remember which of them were asked for."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def collected() -> dict[str, Any]:
    given = {"bluegreen_service": "shop", "bluegreen_release": "v1", "bluegreen_command": "bin/x", "bluegreen_source": {"directory": "x"}}
    return _variables.collect(given, lambda value: value)


def options(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in _variables.spec(role).items():
        yield name, option
        yield from ((f"{name}: {inner}", rule) for inner, rule in option.get("options", {}).items())


def test_every_variable_of_the_spec_is_used_and_every_one_that_is_used_is_in_the_spec() -> None:
    values = Noted(collected())

    _wish.resolve(values, "app1", _topology.read(values, {}, ["app1"]))

    asked = values.asked.union(*map(asked_for, _mapping.TITLES))
    documented = {name.removeprefix("bluegreen_") for name in _variables.spec("release")}
    assert asked - OF_PLAYBOOKS.keys() == documented - OF_PLAYBOOKS.keys()


def asked_for(engine: str) -> set[str]:
    """What the service of an engine is made of."""
    given = {"bluegreen_engine": engine, "bluegreen_service": "shop", "bluegreen_release": "v1", "bluegreen_image": "shop"}
    values = Noted(_variables.collect(given, lambda value: value, _variables.ENGINE))
    _resolve.resolve(values, ())
    return values.asked


def test_the_playbooks_use_what_the_wish_does_not() -> None:
    for name, playbook in OF_PLAYBOOKS.items():
        assert f"bluegreen_{name}" in (ROOT / playbook).read_text()


def test_no_code_names_a_variable_that_does_not_exist() -> None:
    known = set(_variables.spec("release")) | _variables.FACTS | set(_metrics.METRICS)
    unknown = {}
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        names = {
            word
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            for word in _words(node.value)
        }
        if names - known:
            unknown[path.name] = sorted(names - known)
    assert unknown == {}


def _words(text: str) -> Iterator[str]:
    """The names of our variables in a text; nginx's own ($bluegreen_…) and names cut by a placeholder apart."""
    import re

    for match in re.finditer(r"(?<![$<A-Za-z_])bluegreen_[a-z_]*[a-z]\b(?!-)", text):
        yield match.group()


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_has_a_type_and_a_description(role: str) -> None:
    for name, option in options(role):
        assert option.get("type") in TYPES, name
        assert str(option.get("description", "")).strip().endswith("."), name


@pytest.mark.parametrize("role", ROLES)
def test_every_default_is_of_its_own_type_and_choices(role: str) -> None:
    for name, option in options(role):
        if option.get("default") is not None:
            assert _values.read(name, option["default"], option)[1] == []
        told = "default" in option or any(words in option["description"] for words in ("Default is", "Required with", "without it"))
        assert option.get("required") or told or ": " in name, f"{name} is neither required nor has a default"


def test_the_other_roles_specs_and_the_readmes_tables_are_in_step(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["variables.py", "--check"])

    assert variables.main() == 0, capsys.readouterr().out


def test_the_check_says_which_file_is_not_in_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for role in ROLES:
        folder = tmp_path / "roles" / role / "meta"
        folder.mkdir(parents=True)
        (folder / "argument_specs.yml").write_text((ROOT / "roles" / role / "meta" / "argument_specs.yml").read_text())
    table = tmp_path / "plugins" / "plugin_utils" / "_engines" / "_mapping.py"
    table.parent.mkdir(parents=True)
    table.write_text(Path(_mapping.__file__).read_text())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "variables.md").write_text(f"# About\n\n{variables.BEGIN}\nold\n{variables.END}\n\nThe end.\n")
    monkeypatch.setattr(variables, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["variables.py", "--check"])

    assert variables.main() == 1
    assert capsys.readouterr().out == "docs/variables.md is not up to date: run make specs\n"

    monkeypatch.setattr("sys.argv", ["variables.py"])
    assert variables.main() == 0
    text = (tmp_path / "docs" / "variables.md").read_text()
    assert text.startswith("# About\n") and text.endswith("The end.\n")
    assert all(f"| `{name}` |" in text for name in _variables.spec("release"))

    monkeypatch.setattr("sys.argv", ["variables.py", "--check"])
    assert variables.main() == 0
