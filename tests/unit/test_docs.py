"""What the pages say is so: examples use what exists and pass the preflight's rules, links lead somewhere, docs render."""

from __future__ import annotations

import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _module
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _topology, _variables, _wish

from tools.bed import PYTHON, environment

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "roles").glob("*/README.md"))]
ACTIONS = ("notify", "report", "swap", "verdict")  # they run on the controller; their modules are their documentation
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


def examples(page: Path) -> list[Any]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]


def variables(value: Any) -> set[str]:
    """All bluegreen_ names anywhere in an example."""
    if isinstance(value, dict):
        return {key for key in value if str(key).startswith("bluegreen_")}.union(*map(variables, value.values()))
    return set().union(*map(variables, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_use_only_variables_that_exist(page: Path) -> None:
    assert set().union(*map(variables, examples(page))) <= set(_variables.spec("release"))


def test_each_complete_example_of_the_pages_passes_the_preflights_rules() -> None:
    complete = [example for page in PAGES for example in examples(page) if isinstance(example, dict) and {"bluegreen_command", "bluegreen_service"} <= set(example)]
    assert len(complete) >= 3
    for example in complete:
        values = _variables.collect({**example, "bluegreen_release": "1.4.2"}, lambda value: value)
        shape = _topology.read(values, {"app": ["web1", "web2"], "lb": ["lb1", "lb2"]}, ["web1", "web2"])
        assert _wish.resolve({**values, "reached_at": "10.0.0.7"}, "web1", shape).wish.release == "1.4.2"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_shows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text and "make test" in text


def test_ansible_doc_shows_every_module() -> None:
    names = [f"hotswap.bluegreen.{name}" for name in MODULES]
    command = [str(Path(PYTHON).parent / "ansible-doc"), "-t", "module", *names]
    result = subprocess.run(command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(name.upper() in result.stdout.upper() for name in names)


def argument_spec(module: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the module accepts, as it says to Ansible when it is run; for an action with nothing on the target, what that takes."""
    if module in ACTIONS:
        accepted = runpy.run_path(str(ROOT / "plugins" / "action" / f"{module}.py"))["ActionModule"]._VALID_ARGS
        return {name: {} for name in accepted}
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(_module, "main", lambda spec, _work: found.append(spec))
    runpy.run_path(str(ROOT / "plugins" / "modules" / f"{module}.py"), run_name="__main__")
    return found[-1]


def options(module: str) -> dict[str, Any]:
    """What a module's documentation says of its options, those of its fragments among them."""
    told = yaml.safe_load(runpy.run_path(str(ROOT / "plugins" / "modules" / f"{module}.py"))["DOCUMENTATION"])
    found = dict(told.get("options", {}))
    for fragment in told.get("extends_documentation_fragment", []):
        name, _, part = fragment.removeprefix("hotswap.bluegreen.").partition(".")
        shared = runpy.run_path(str(ROOT / "plugins" / "doc_fragments" / f"{name}.py"))["ModuleDocFragment"]
        found |= yaml.safe_load(getattr(shared, part.upper() or "DOCUMENTATION"))["options"]
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_documentation_is_its_argument_spec(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = argument_spec(module, monkeypatch)
    kept = ("type", "elements", "choices", "default", "required") if module not in ACTIONS else ()
    assert {name: {key: rule[key] for key in kept if key in rule} for name, rule in options(module).items()} == {
        name: {key: rule[key] for key in kept if key in rule} for name, rule in spec.items()
    }
