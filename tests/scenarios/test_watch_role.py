"""The role watch through ansible-playbook: installed, a second time, in production, and away. Its environment is the tests' own."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools.bed import PYTHON, AppBed, Bed, temporary, wait_until

PROGRAM = "[program:web]\ncommand=sleep 600\nstartsecs=0\nstdout_logfile=NONE\n"


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with temporary(AppBed) as host:
        (host.path / "programs" / "web.conf").write_text(PROGRAM)
        host.supervisorctl("reread")
        host.supervisorctl("add", "web")
        (host.path / "code").mkdir()
        (host.path / "web-watch").mkdir()
        (host.path / "web-watch" / "watch.json").touch()
        (host.path / "web-watch" / "venv").symlink_to(Path(PYTHON).parents[1])
        yield host


def variables(bed: Bed) -> dict[str, Any]:
    return {
        "watch_program": "web",
        "watch_paths": [f"{bed.path}/code"],
        "watch_home": f"{bed.path}/web-watch",
        "watch_watchfiles_version": importlib.metadata.version("watchfiles"),
        "bluegreen_supervisor_config": f"{bed.path}/supervisord.conf",
        "bluegreen_supervisor_program_dir": f"{bed.path}/programs",
    }


def include(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "ansible.builtin.include_role": {"name": "hotswap.bluegreen.watch"}, "vars": changes}


def test_the_playbook_makes_a_watch_that_reloads(bed: Bed) -> None:
    result = plays.run(bed.path / "play", "hotswap.bluegreen.watch", {"desk": {}}, {**variables(bed), "bluegreen_environment_kind": "development"})

    assert result.returncode == 0, result.stdout
    assert plays.changed(result) == 1
    log = bed.path / "web-watch" / "watch.log"
    (bed.path / "code" / "a.txt").write_text("one")
    wait_until(lambda: re.search(r" loaded: a\.txt; .*\(restart, pid \d+ → \d+\)", log.read_text()), 60, "the reload")


def test_a_second_run_changes_nothing_production_is_refused_and_absent_leaves_nothing(bed: Bed) -> None:
    before = sorted(path.name for path in (bed.path / "programs").iterdir())
    book = plays.book(
        bed.path / "play",
        {
            "tasks": [
                include("Install it again", bluegreen_environment_kind="development"),
                *plays.attempts({"production": {}}, [include("Install it where nobody says what kind of place it is")]),
                include("Take it away", watch_state="absent"),
                include("Take away what is not there", watch_state="absent"),
            ]
        },
    )
    assert before == ["web-watch.conf", "web.conf"]

    result = plays.run(bed.path / "play", book, {"desk": {}}, variables(bed))

    assert result.returncode == 0, result.stdout
    assert plays.changed(result) == 1  # taking it away
    assert [text for text in plays.failures(result).values() if text.startswith("bluegreen_environment_kind is production (which it is where nobody says")]
    assert not (bed.path / "web-watch").exists()
    assert [path.name for path in (bed.path / "programs").iterdir()] == ["web.conf"]
    assert "web-watch" not in bed.supervisorctl("status")
    assert re.search(r"web +RUNNING", bed.supervisorctl("status"))
