"""What a module's documentation says is so, and ansible-doc shows it. The pages are in tests/docs."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _module

from tools.bed import PYTHON, environment

ROOT = Path(__file__).resolve().parents[2]
ACTIONS = ("notify", "report", "rollout", "swap", "verdict")  # they run on the controller; their modules are their documentation
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))


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
