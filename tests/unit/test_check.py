"""The checks tell the truth: what failed fails the run, what was counted is reported, also from several processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools import check


def test_a_linter_that_fails_is_told_with_everything_it_said() -> None:
    ran = check.run(check.Linter("picky", (sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")))
    assert not ran.ok
    assert {"out", "err"} <= set(ran.output.split())


def test_a_linter_that_is_not_there_has_failed() -> None:
    ran = check.run(check.Linter("absent", ("/nonexistent/linter",)))
    assert not ran.ok and "/nonexistent/linter" in ran.output


@pytest.mark.parametrize(
    ("line", "passed", "failed"),
    [
        ("12 passed in 3.40s", 12, 0),
        ("1 failed, 11 passed, 2 deselected in 3.40s", 11, 1),
        ("1 failed, 3 passed, 2 errors in 1.00s", 3, 3),
        ("no tests ran in 0.01s", 0, 0),
    ],
)
def test_the_numbers_of_pytests_closing_line_are_read(line: str, passed: int, failed: int) -> None:
    assert check.numbers(line) == (passed, failed)


def test_what_tests_count_in_several_processes_is_added_up(tmp_path: Path) -> None:
    counts = tmp_path / "counts.json"
    command = [sys.executable, "-m", "pytest", "-n", "2", "-p", "no:cacheprovider", "tests/unit/test_planner.py", "-k", "cut_off"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**kept, "HOTSWAP_EXAMPLES": "2", "HOTSWAP_COUNTS": str(counts)}
    done = subprocess.run(command, cwd=check.ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout
    number = json.loads(counts.read_text())["counts"]["simulated runs"]
    assert number > 0
    assert f"{number:,} simulated runs" in done.stdout


def test_every_shell_script_is_looked_at() -> None:
    assert {".ci/run", "tools/setup.sh"} <= set(check.shell_scripts())
