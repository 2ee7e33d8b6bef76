"""Every scenario of molecule/, played as `molecule test -s NAME` plays it, on real hosts of this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tools.bed import PYTHON, ROOT, collections_path

SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
LONG = {"long_connections", "blue_green", "canary", "failure", "interrupt"}  # tests/drivers and tests/scenarios show the same each day, or tests/chaos
SECONDS = 900  # it takes a tenth of that on two idle cores


def molecule(folder: Path, *words: str, cwd: Path = ROOT, **more: str) -> tuple[int, str]:
    """Exit status and output of a molecule command whose hosts end with this process, whatever becomes of it."""
    collections_path()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))} | {
        "PATH": f"{Path(PYTHON).parent}:{os.environ.get('PATH', '')}:/usr/sbin",
        "MOLECULE_EPHEMERAL_DIRECTORY": str(folder),
        "ANSIBLE_HOME": str(folder / "home"),  # sockets of ssh are in it: the folder's path must be short
        "HOTSWAP_HOSTS_OWNER": str(os.getpid()),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_COLOR": "1",
        **more,
    }
    log = folder.with_suffix(".log")
    with log.open("w") as output, subprocess.Popen(
        [str(Path(PYTHON).parent / "molecule"), *words],
        cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
    ) as process:  # fmt: skip
        try:
            process.wait(SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, log.read_text(errors="replace")


def successful(scenario: str, output: str) -> list[str]:
    """The actions that molecule's closing lines call successful."""
    details = output.rpartition("\nDETAILS")[2]
    return re.findall(rf"^{re.escape(scenario)} [>➜] (\w+): Executed: Successful", re.sub(r"\x1b\[[0-9;]*m", "", details), re.MULTILINE)


@pytest.mark.parametrize("scenario", [pytest.param(name, marks=pytest.mark.full) if name in LONG else name for name in SCENARIOS])
def test_a_scenario_converges_is_idempotent_and_verifies(scenario: str, short_path: Path) -> None:
    status, output = molecule(short_path / "m", "test", "-s", scenario)
    assert status == 0, output[-6000:]
    assert successful(scenario, output) == ["destroy", "create", "prepare", "converge", "idempotence", "verify", "destroy"], output[-6000:]


def test_one_host_is_a_scenario() -> None:
    assert "default" in SCENARIOS
