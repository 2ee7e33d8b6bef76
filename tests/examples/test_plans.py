"""Every example as it stands: its playbooks are read, PHP's files parse, the preflight takes its variables, and a first release is planned."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.examples.project import EXAMPLES, PLAYBOOK, local, run, variables
from tests.scenarios.plays import picture
from tools import bed as beds

RUNTIMES = ("hyperf", "swoole", "workerman", "django", "fastapi", "node", "rails")
NOT_RUN = ("hyperf", "swoole", "workerman")  # neither apt nor pip nor npm has what they run on
PHP = sorted(path for folder in ("hyperf", "swoole", "workerman", "php") for path in (EXAMPLES / folder).rglob("*.php"))
SECRETS = re.compile(r"vault_\w+")


@pytest.mark.parametrize("example", RUNTIMES)
def test_all_have_the_same_files(example: str) -> None:
    folder = EXAMPLES / example
    service = variables(example)["bluegreen_service"]
    assert {path.name for path in folder.iterdir() if path.name not in ("__pycache__",)} == {"README.md", "app", "install.yml", "inventory", "release.yml"}
    assert (folder / "inventory" / "group_vars" / f"{service}.yml").exists()
    assert list(yaml.safe_load((folder / "inventory" / "hosts.yml").read_text())) == [service]
    for name in ("install", "release"):
        (play,) = yaml.safe_load((folder / f"{name}.yml").read_text())
        assert (play["ansible.builtin.import_playbook"], play["vars"]) == (f"hotswap.bluegreen.{name}", {"bluegreen_group": service})


@pytest.mark.parametrize("example", RUNTIMES)
def test_the_runtime_is_named_and_no_secret_is_written_down(example: str) -> None:
    found = variables(example)
    assert found["bluegreen_runtime"] == {"django": "gunicorn", "fastapi": "uvicorn", "rails": "puma"}.get(example, example)
    for name, value in found["bluegreen_environment"].items():
        if re.search("SECRET|TOKEN|PASSWORD", name):
            assert SECRETS.search(value), f"{name} of {example} is no reference to a vault"


@pytest.mark.parametrize("path", PHP, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_php_parses_it(path: Path) -> None:
    run("php", "-l", str(path))


def test_ansible_reads_all_playbooks_and_inventories() -> None:
    inventories = [word for example in RUNTIMES for word in ("-i", str(EXAMPLES / example / "inventory"))]
    books = [str(EXAMPLES / example / name) for example in RUNTIMES for name in ("install.yml", "release.yml")]
    done = run(PLAYBOOK, *inventories, *books, "--syntax-check")
    assert all(f"playbook: {book}" in done.stdout for book in books)
    assert not re.search("WARN|ERROR", done.stderr), done.stderr


@pytest.fixture(scope="module")
def planned() -> str:
    """What ``release.yml --check`` prints of those that cannot be run here, on hosts that have nothing of them yet."""
    with beds.temporary() as bed:
        inventories = [word for example in NOT_RUN for word in ("-i", str(EXAMPLES / example / "inventory"))]
        books = [str(EXAMPLES / example / "release.yml") for example in NOT_RUN]
        # Slots and ports are the examples' own: they are asked for, and nobody listens on them.
        here = {name: value for name, value in local(bed).items() if name not in ("bluegreen_slots", "bluegreen_listen", "bluegreen_root")}
        here |= {f"vault_{name}": "hush-hush" for name in ("quotes_drain_token", "chat_drain_token", "shop_db_password")}
        own = bed.path / "here.json"
        own.write_text(json.dumps(here | {"bluegreen_release": "1.0", "bluegreen_root": f"{bed.path}/{{{{ bluegreen_service }}}}"}))
        before = picture(bed)
        done = run(PLAYBOOK, *inventories, *books, "-e", f"@{own}", "--check", cwd=bed.path)
        assert picture(bed) == before
        return done.stdout + done.stderr


@pytest.mark.parametrize("example", NOT_RUN)
def test_a_first_release_is_planned_and_nothing_is_changed(planned: str, example: str) -> None:
    service = variables(example)["bluegreen_service"]
    for slot in ("blue", "green"):
        for step in ("switch", "point", "start", "check", "enable"):
            assert re.search(rf"^{service}1\.example\.org/{slot} +{step} ", planned, re.MULTILINE), (slot, step)


def test_no_doubt_is_told_of_the_examples_commands_and_no_secret_is_shown(planned: str) -> None:
    assert "hush-hush" not in planned
    assert not [line for line in planned.splitlines() if re.search(r"WARNING.*bluegreen_(command|stop_timeout|runtime)", line)]
