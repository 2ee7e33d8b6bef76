"""What every test has: this checkout as the collection hotswap.bluegreen, and a place for numbers worth reporting."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.bed import collections_path  # noqa: E402  # the path above comes first

sys.path.insert(0, str(collections_path()))


class Counts:
    """Numbers that tests collect: requests sent and failed, swaps, simulated fleets; and the seeds they used."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.seeds: dict[str, int] = {}

    def add(self, what: str, number: int = 1) -> None:
        """Count ``number`` more of ``what``; a number of 0 is shown, too."""
        self.counts[what] += number

    def seed(self, what: str, seed: int) -> None:
        """Note the seed of something random, so that it can be had again."""
        self.seeds[what] = seed


_counts = Counts()


@pytest.fixture(scope="session")
def counts() -> Counts:
    """Where a test adds what it counted. Shown at the end, and kept by ``make test-full`` in build/test-full.json."""
    return _counts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("skipped", []):  # what cannot be had on this machine is told, and why
        terminalreporter.write_line(str(report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr).removeprefix("Skipped: "))
    if _counts.counts:
        terminalreporter.write_line(f"counted: {', '.join(f'{number:,} {what}' for what, number in _counts.counts.items())}")


def pytest_configure() -> None:
    """A run that is told to end (SIGTERM) ends what its tests have started, as after a Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


# What takes longest, by minutes, is begun first, so that nobody waits for it at the end; what takes both cores stands apart.
LONGEST = (
    *(
        "[lifecycle]",
        "scenarios/test_hooks.py",
        "matrix/test_releases.py",
        "engines/test_release_on_swarm.py",
        "engines/test_release_on_kubernetes.py",
        "examples/test_released.py",
        "[fleet]",
        "scenarios/test_release.py",
        "[canary]",
        "[failure]",
        "tests/test_demo.py",
        "awx/test_jobs.py",
    ),
    *("chaos/test_chaos.py", "[default]", "scenarios/test_lock.py", "scenarios/test_rollback.py", "scenarios/test_watch.py"),
    *("scenarios/test_connections.py", "scenarios/test_maintenance.py", "scenarios/test_bad_input.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first."""

    def rank(item: pytest.Item) -> int:
        file = item.nodeid.partition("::")[0]
        words = item.nodeid if file.startswith("tests/molecule/") else file
        return next((number for number, name in enumerate(LONGEST) if name in words), len(LONGEST))

    items.sort(key=rank)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A worker gets a file, whose tests share their beds, or one of molecule's scenarios, which share nothing."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid if nodeid.startswith("tests/molecule/") else nodeid.partition("::")[0]

    return Files(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker of pytest-xdist has ended: what its tests counted is told by the process that closes the run."""
    told = getattr(node, "workeroutput", {}).get("bluegreen", {})
    _counts.counts.update(told.get("counts", {}))
    _counts.seeds.update(told.get("seeds", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = {"counts": dict(_counts.counts), "seeds": _counts.seeds}
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["bluegreen"] = found
    elif os.environ.get("HOTSWAP_COUNTS"):
        Path(os.environ["HOTSWAP_COUNTS"]).write_text(json.dumps(found))
