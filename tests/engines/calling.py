"""Modules as the engines' drivers call them, without a play: each in a process of its own, as on a host."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COLLECTIONS = Path(__file__).parents[2] / "build" / "collections"


class Modules:
    """A ``Call`` of plugin_utils/_engines/_engine.py. In a ``check``, with diffs, as ``--check --diff`` does."""

    def __init__(self, check: bool = False, diff: bool = False) -> None:
        self.check, self.diff = check, diff
        self.called: list[str] = []

    def __call__(self, name: str, args: Mapping[str, Any], check_mode: bool | None = None, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
        self.called.append(name)
        words = name.split(".")
        where = f"ansible.modules.{words[-1]}" if words[0] == "ansible" else f"ansible_collections.{'.'.join(words[:2])}.plugins.modules.{words[-1]}"
        private = {"_ansible_check_mode": self.check if check_mode is None else check_mode, "_ansible_diff": self.diff}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _RUN, where],
            input=json.dumps({"ANSIBLE_MODULE_ARGS": {**args, **private}}),
            env={**os.environ, "PYTHONPATH": str(COLLECTIONS), **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        try:
            found: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            return {"failed": True, "msg": done.stderr[-2000:] or done.stdout[-2000:]}
        return found


# The module's own main, as AnsiballZ begins it
_RUN = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
