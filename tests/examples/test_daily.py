"""examples/fastapi and examples/node, released for real as their readers would: a first release, one under requests, a broken one put back."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conftest import Counts
from tests.examples.project import EXAMPLES, Load, project, run, wheels

VAULT = "inventory/group_vars/all/vault.yml"


def encrypted(folder: Path, text: str) -> dict[str, str]:
    """The vault of the example with this text, encrypted; the environment that opens it."""
    password = folder / ".password"
    password.write_text("open sesame\n")
    vault = folder / VAULT
    vault.parent.mkdir(parents=True)
    vault.write_text(text)
    settings = {"ANSIBLE_VAULT_PASSWORD_FILE": str(password)}
    run(str(Path(run.__globals__["PLAYBOOK"]).parent / "ansible-vault"), "encrypt", str(vault), **settings)
    return settings
