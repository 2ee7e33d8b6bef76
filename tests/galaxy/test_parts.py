"""A part of a playbook is no release: --tags and --start-at-task are refused in a sentence, and nothing is changed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios import plays
from tools import bed as beds

PLAYBOOKS = beds.ROOT / "playbooks"
BEGINS = "has left out what comes before"
MEMBERS = {"bluegreen_members": "app1/blue", "bluegreen_reason": "a new disk"}


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    """A host on which v1 serves; its run has left its facts in a cache, as AWX keeps them."""
    with tempfile.TemporaryDirectory(prefix="bg-") as folder, beds.Bed(Path(folder) / "host") as bed:
        for playbook in ("install", "release"):
            done = run(bed, f"hotswap.bluegreen.{playbook}", release="v1")
            assert done.returncode == 0, done.stdout + done.stderr
        (facts,) = cache(bed).glob("*app1")
        assert "bluegreen_wish" in facts.read_text()
        yield bed


def cache(bed: beds.Bed) -> Path:
    return bed.path / "plays" / "facts"


def run(bed: beds.Bed, playbook: str, *words: str, release: str = "v2", cached: bool = True, **variables: Any) -> subprocess.CompletedProcess[str]:
    facts = {"ANSIBLE_CACHE_PLUGIN": "jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(cache(bed))} if cached else {}
    wanted = {**bed.variables, **plays.RELEASE, "bluegreen_release": release, **variables}
    return plays.run(bed.path / "plays", playbook, {"app1": {}}, wanted, *words, **facts)


def refused(bed: beds.Bed, playbook: str, *words: str, cached: bool = True, **variables: Any) -> list[str]:
    """The sentences with which it was refused; nothing was changed."""
    before = {**plays.picture(bed), **plays.pids(bed)}
    done = run(bed, playbook, *words, cached=cached, **variables)
    assert {**plays.picture(bed), **plays.pids(bed)} == before
    assert done.returncode == 2, done.stdout + done.stderr
    assert plays.changed(done) == 0
    return list(plays.failures(done).values())


def names(tasks: list[dict[str, Any]]) -> Iterator[str]:
    for task in tasks:
        if "block" in task:
            yield from names([*task["block"], *task.get("always", [])])
        else:
            yield task["name"]


def later_tasks(playbook: str) -> list[str]:
    """All but the first."""
    (play,) = yaml.safe_load((PLAYBOOKS / f"{playbook}.yml").read_text())
    return list(names(play["tasks"]))[1:]


# Those that would do the most harm, and those that would look well while they do nothing; all others are in test-full.
EVERY_DAY = (
    ("release", "Leave alone what has nothing to do with the service"),
    ("release", "Swap the release in"),
    ("release", "Book what failed on the host whose fault it was"),
    ("enable", "Release the lock"),
)
STARTS = [
    pytest.param(playbook, task, marks=[] if (playbook, task) in EVERY_DAY else [pytest.mark.full])
    for playbook in ("release", "rollback", "drain", "enable")
    for task in later_tasks(playbook)
]


@pytest.mark.parametrize(("playbook", "task"), STARTS)
def test_no_playbook_begins_in_the_middle_whatever_an_earlier_run_has_left_in_the_cache(bed: beds.Bed, playbook: str, task: str) -> None:
    told = refused(bed, f"hotswap.bluegreen.{playbook}", "--start-at-task", task, **MEMBERS)
    assert len(told) == 1, told
    assert BEGINS in told[0] and repr(task) in told[0]


@pytest.mark.full
@pytest.mark.parametrize("task", later_tasks("release"))
def test_no_release_begins_in_the_middle_without_a_cache(bed: beds.Bed, task: str) -> None:
    (told,) = refused(bed, "hotswap.bluegreen.release", "--start-at-task", task, cached=False)
    assert BEGINS in told


def test_a_run_may_begin_at_the_first_task() -> None:
    """So the tests above look at every task but one, and that one has the name that they think."""
    for playbook in ("release", "rollback", "drain", "enable"):
        (play,) = yaml.safe_load((PLAYBOOKS / f"{playbook}.yml").read_text())
        assert play["tasks"][0]["tags"] == ["always"], playbook


@pytest.mark.parametrize(
    ("playbook", "words"),
    [
        ("hotswap.bluegreen.release", ("--tags", "deploy")),
        pytest.param(str(PLAYBOOKS / "rollback.yml"), ("--skip-tags", "untagged"), marks=pytest.mark.full),
        *(
            pytest.param(f"hotswap.bluegreen.{path.stem}", ("--tags", "deploy"), marks=pytest.mark.full)
            for path in PLAYBOOKS.glob("*.yml")
            if path.stem not in ("release", "watch")
        ),
    ],
)
def test_tags_that_would_leave_the_rest_out_are_refused(bed: beds.Bed, playbook: str, words: tuple[str, str]) -> None:
    (told,) = refused(bed, playbook, *words, **MEMBERS)
    name = f"hotswap.bluegreen.{Path(playbook).stem if '/' in playbook else playbook.rpartition('.')[2]}"
    said = " ".join(words)
    expected = f"{said} would leave out every task of {name} but this one; a part of it is of no use. Take {said} away."
    assert told.removesuffix("\nNothing was changed.") == expected


def test_another_playbook_that_imports_ours_may_leave_it_out_and_is_told_so(bed: beds.Bed) -> None:
    site = bed.path / "plays" / "mine.yml"
    site.write_text(
        json.dumps(
            [
                {"hosts": "all", "gather_facts": False, "tasks": [{"ansible.builtin.debug": {"msg": "mine"}, "tags": "mine"}]},
                {"name": "Release", "ansible.builtin.import_playbook": "hotswap.bluegreen.release"},
            ]
        )
    )
    before = {**plays.picture(bed), **plays.pids(bed)}
    done = run(bed, str(site), "--tags", "mine")
    assert done.returncode == 0, done.stdout
    assert "hotswap.bluegreen.release is not run, because of --tags mine." in " ".join(done.stderr.split())
    assert {**plays.picture(bed), **plays.pids(bed)} == before


@pytest.mark.full
@pytest.mark.parametrize("words", [("--tags", "shop"), ("--skip-tags", "always"), ("--tags", "all")])
def test_with_a_tag_of_the_import_all_of_the_release_is_run_or_nothing(bed: beds.Bed, words: tuple[str, str]) -> None:
    site = bed.path / "plays" / "mine.yml"
    site.write_text(json.dumps([{"name": "Release", "ansible.builtin.import_playbook": "hotswap.bluegreen.release", "tags": ["shop"]}]))
    done = run(bed, str(site), *words, release="v1")
    skipped = words == ("--skip-tags", "always")  # the first task is skipped, so nothing is known of the hosts, and the lock is refused
    assert (done.returncode == 2) == skipped, done.stdout
    assert ("TASK [Swap the release in]" in done.stdout) == (not skipped)
    assert not skipped or "app1 was not checked in this run" in done.stdout
