"""What contributors are told is so: the commands of CONTRIBUTING.md, the hooks before a commit, the forge's files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs import pages
from tests.galaxy import packing
from tools.bed import ROOT

BIN = Path(sys.executable).parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
HOOKS = [hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def run(*command: str, cwd: Path = ROOT, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env=settings or None, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
    )


def test_the_two_commands_of_contributing_are_there() -> None:
    assert run("make", "-n", "setup").returncode == 0
    assert run(str(BIN / "pre-commit"), "install", "--help").returncode == 0


def test_one_file_and_one_test_can_be_run_as_contributing_says() -> None:
    done = run(
        "sh",
        "-ec",
        pages.block("CONTRIBUTING.md", "-k refusal").text,
        **{**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"},
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "docs/releasing.md"])
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"`((?:plugins|tests|tools|roles|docs|playbooks|changelogs|examples)/[\w./-]+)`", (ROOT / page).read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_functions_of_a_driver_are_as_contributing_says() -> None:
    for name, given, path in re.findall(r"^\| `(\w+)\(([^)]*)\) -> \w+` \| `([\w/.]+)` \|", CONTRIBUTING, re.MULTILINE):
        (found,) = re.findall(rf"^def {name}\((.*)\) ->", (ROOT / path).read_text(), re.MULTILINE)
        words = re.findall(r"(\w+): ", re.sub(r"\[.*?\]+", "", found))
        assert words[: len(given.split(", "))] == given.split(", "), name


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small repository with the hooks, the linters' settings and a file of each kind that they look at."""
    folder = tmp_path / "repository"
    for name in packing.tracked():
        if "/" not in name or name.startswith(("changelogs/", ".github/workflows/", "tools/setup", "plugins/module_utils/_model")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    (folder / ".venv").symlink_to(BIN.parent)
    (folder / "tools" / "variables.py").write_text("")  # what it checks is the roles', which are not here
    for words in (("init", "-q"), ("add", "-A", "--", ".", ":!.venv")):
        assert run("git", *words, cwd=folder).returncode == 0
    return folder


def pre_commit(repository: Path) -> subprocess.CompletedProcess[str]:
    # A proxy that is not there: a hook that fetches something fails.
    settings = {
        "PATH": f"{BIN}:/usr/bin:/bin",
        "PRE_COMMIT_HOME": str(repository.parent / "cache"),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    return run(str(BIN / "pre-commit"), "run", "--color", "never", cwd=repository, **settings)


def test_the_hooks_pass_on_what_is_here_need_no_network_and_look_at_every_kind_of_file(repository: Path) -> None:
    done = pre_commit(repository)
    assert done.returncode == 0, done.stdout
    told = dict(re.findall(r"^(.*?)\.{2,}(?:\(no files to check\))?(\w+)$", done.stdout, re.MULTILINE))
    assert told == {hook["name"]: "Passed" for hook in HOOKS}


@pytest.mark.full
def test_each_hook_that_looks_at_files_finds_a_fault(repository: Path) -> None:
    faults = {
        "bad.py": "import os\nx = 'a'\n",
        "bad.yml": "---\na:   1\n",
        "bad.sh": "#!/bin/sh\nrm -rf $1/*\n",
        "plugins/module_utils/_model.py": "x = 1\nmatch x:\n    case 1:\n        pass\n",
        "changelogs/fragments/bad.yml": "fixed:\n  - it\n",
        ".github/workflows/bad.yml": '---\n"on": push\njobs:\n  one:\n    steps: []\n',
    }
    for name, text in faults.items():
        (repository / name).write_text(text)
    assert run("git", "add", *faults, cwd=repository).returncode == 0
    done = pre_commit(repository)
    told = dict(re.findall(r"^(.*?)\.{2,}(\w+)$", done.stdout, re.MULTILINE))
    assert {name for name, outcome in told.items() if outcome != "Failed"} == {"Specs and tables are those of the one list"}, done.stdout


def test_every_hook_is_a_linter_of_make_test_and_runs_from_the_virtual_environment() -> None:
    for hook in HOOKS:
        program = Path(shlex.split(hook["entry"])[0])
        assert hook["language"] == "system" and program.parent == Path(".venv/bin"), hook["id"]
        assert (BIN / program.name).exists(), hook["id"]


def test_the_forge_s_files_are_what_it_takes() -> None:
    forms = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
    assert WORKFLOWS and forms
    for form in forms:
        about = yaml.safe_load(form.read_text())
        assert {"name", "description", "body"} <= set(about), form.name
        assert all(set(part) <= {"type", "id", "attributes", "validations"} for part in about["body"]), form.name
    assert (ROOT / ".github" / "pull_request_template.md").read_text().strip()


def test_the_workflows_call_what_is_here() -> None:
    steps = [step for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    commands = " ".join(step.get("run", "") for step in steps)
    assert ".ci/run" in commands and (ROOT / ".ci" / "run").exists()
    assert 'tools.release --check "$GITHUB_REF_NAME" --pack dist' in commands  # which tests/galaxy/test_release_tool.py runs
    secret = [step for step in steps if "secrets." in str(step)]
    assert len(secret) == 1 and "secrets." not in secret[0]["run"]
