"""The table of versions is Ansible's own, all of it has its turn, and what cannot be had is told."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tools.bed import PYTHON, ROOT
from tools.matrix import __main__ as matrix
from tools.matrix import debian, environments, interpreters
from tools.matrix.table import CORES, OURS, PYTHONS, Core, of_the_day, pairs


def of_minors(versions: list[str]) -> tuple[str, str]:
    numbers = sorted(int(version.partition(".")[2]) for version in versions)
    return f"3.{max(numbers[0], OURS)}", f"3.{numbers[-1]}"


@pytest.mark.parametrize("core", CORES, ids=lambda core: core.version)
def test_each_ansible_core_says_what_the_table_says(core: Core) -> None:
    try:
        packages = next((environments.bare(of_the_day(core)).parent / "lib").glob("python*")) / "site-packages"
    except interpreters.Missing as error:
        pytest.skip(f"NOT RUN: what ansible-core {core.version} says of itself: {error}")
    about = next(packages.glob("ansible_core-*.dist-info"))
    assert f"Requires-Python: >={core.controllers[0]}\n" in (about / "METADATA").read_text()
    told = yaml.safe_load((packages / "ansible/config/base.yml").read_text())["INTERPRETER_PYTHON_FALLBACK"]["default"]
    assert (core.targets[0], core.targets[-1]) == of_minors([name.removeprefix("python") for name in told if name.startswith("python3.")])


def test_all_pythons_have_their_turn() -> None:
    days = [of_the_day(core) for core in CORES]
    assert {version for day in days for version in day.targets} == set(PYTHONS)
    assert {pair.targets[0] for pair in pairs()} == set(PYTHONS)
    assert all(day.controller in day.core.controllers and set(day.targets) <= set(day.core.targets) for day in days)
    assert len({pair.name for pair in pairs()}) == sum(len(core.controllers) for core in CORES)


def test_what_an_environment_needs_is_known_to_the_requirements() -> None:
    pair = next(pair for pair in pairs() if environments.has_molecule(pair))
    assert len(environments.needed(pair)) == len(environments.NEEDED)


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "versions.md").read_text()
    for core in CORES:
        assert f"| {core.version} | {', '.join(core.controllers)} | {core.targets[0]} to {core.targets[-1]} |" in page


def test_the_closing_lines_tell_what_was_not_run_and_count_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = pairs()[:2]
    done = [
        matrix.Ended(first, "releases", "passed", "fine"),
        matrix.Ended(first, "scenarios", "failed", "3 failed"),
        matrix.Ended(second, "releases", "NOT RUN", "Python 3.11: there is none"),
    ]
    assert matrix.report(done) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"NOT RUN: {second.name}, releases: Python 3.11: there is none", "1 passed, 1 failed"]
    assert f"{first.name}  passed     -          failed     -" in "\n".join(lines)


def test_a_deprecation_warning_in_a_part_s_playbooks_is_found(tmp_path: Path) -> None:
    log = tmp_path / "plays.log"
    log.write_text("2026-11-21 21:00:00,000 p=1 u=root n=ansible | [DEPRECATION WARNING]: That is old. This feature will be removed.\nok: [app1]\n")
    assert len(matrix._deprecated(log)) == 1


def test_a_python_that_cannot_be_had_is_told_in_the_closing_lines_of_pytest(tmp_path: Path) -> None:
    """On a machine without it, whose uv and apt had been asked in vain."""
    kept = tmp_path / "hotswap-bluegreen" / "python"
    kept.mkdir(parents=True)
    (kept / "3.8.missing").write_text("this machine has none; nobody sells it")
    words = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/matrix/test_hosts_code.py", "-k", "3.8")
    empty = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path), "PATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([PYTHON, "-m", "pytest", *words], cwd=ROOT, env=empty, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert "NOT RUN: a host with Python 3.8: this machine has none; nobody sells it\n" in done.stdout, done.stdout


@pytest.mark.full
def test_a_python_of_another_debian_release_runs_beside_the_machine_s_own(tmp_path: Path) -> None:
    try:
        debian.unpack("3.14", tmp_path)
    except debian.NotHad as error:
        pytest.skip(f"NOT RUN: a Python out of Debian's packages: {error}")
    python = tmp_path / "3.14" / "forky" / "usr" / "bin" / "python3.14"
    uv = interpreters.UV
    for words in (["venv", "--quiet", "--python", str(python), "v"], ["pip", "install", "--quiet", "--python", "v/bin/python", "PyYAML", "cryptography"]):
        subprocess.run([uv, *words], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    script = "import subprocess, yaml, cryptography.hazmat.bindings._rust; print(yaml.__with_libyaml__)\nsubprocess.run(['cat', '/proc/self/maps'], check=True)"
    done = subprocess.run([str(tmp_path / "v/bin/python"), "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert "True\n" in done.stdout, "its wheels have their compiled parts"
    libc = re.findall(r"(/\S*/libc\.so\.6)$", done.stdout, re.MULTILINE)
    assert libc and not any(path.startswith(str(tmp_path)) for path in libc), "a program that it starts has the machine's libc"
