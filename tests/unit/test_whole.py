"""Which tasks Ansible runs with --tags and --skip-tags, as we foresee it; what is said of two versions of the collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play import Play
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _history
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _collection, _whole
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.bed import ROOT

PLAY_S = ("mine", "yours", "always")
ASKED = ("mine", "yours", "always", "all", "tagged", "untagged")


@settings(deadline=None)
@given(st.sets(st.sampled_from(PLAY_S)), st.sets(st.sampled_from(ASKED), min_size=1), st.sets(st.sampled_from(ASKED)))
def test_what_tags_select_is_what_ansible_itself_selects(tags: set[str], only: set[str], skip: set[str]) -> None:
    play = Play.load({"hosts": "all", "tags": list(tags), "tasks": [{"name": "One", "meta": "noop"}]}, loader=DataLoader())
    (task,) = play.tasks[0].block
    assert _whole.selected(tags, only, skip) == task.evaluate_tags(only, skip, {})


def installed(folder: Path, version: str, manifest: bool = True) -> Path:
    """A collections path with that version on it: as ansible-galaxy installs it, or as a checkout."""
    place = folder / "ansible_collections" / "hotswap" / "bluegreen"
    place.mkdir(parents=True)
    if manifest:
        (place / "MANIFEST.json").write_text(json.dumps({"collection_info": {"version": version}}))
    else:
        (place / "galaxy.yml").write_text(f"version: {version}\n")
    return folder


def test_another_version_on_the_path_is_told_with_both_places(tmp_path: Path) -> None:
    mine, other = installed(tmp_path / "project", "0.1.0"), installed(tmp_path / "home", "0.2.0", manifest=False)
    place = mine / "ansible_collections/hotswap/bluegreen"
    told = _collection.others([str(mine), str(other), str(tmp_path / "none")], place)
    assert told.startswith(f"hotswap.bluegreen is installed more than once: this run uses 0.1.0 in {place}; there is also 0.2.0 in {other}/")
    assert "collections_path" in told


def test_the_same_version_twice_and_the_same_place_by_two_names_are_nothing_to_tell(tmp_path: Path) -> None:
    mine, same = installed(tmp_path / "project", "0.1.0"), installed(tmp_path / "home", "0.1.0")
    (tmp_path / "link").symlink_to(mine)
    assert _collection.others(map(str, (mine, same, tmp_path / "link")), mine / "ansible_collections/hotswap/bluegreen") == ""


@pytest.mark.parametrize("text", ["", "{", "[]", '{"collection_info": null}'])
def test_a_place_with_an_unreadable_manifest_is_no_installation(tmp_path: Path, text: str) -> None:
    mine, torn = installed(tmp_path / "project", "0.1.0"), installed(tmp_path / "home", "0.2.0")
    (torn / "ansible_collections/hotswap/bluegreen/MANIFEST.json").write_text(text)
    assert _collection.others([str(mine), str(torn)], mine / "ansible_collections/hotswap/bluegreen") == ""


def test_the_version_is_that_of_galaxy_yml() -> None:
    assert f"\nversion: {_collection.version()}\n" in (ROOT / "galaxy.yml").read_text()


@pytest.mark.parametrize("known", ["9.0.0", "10.0.0-rc1", "9.1"])
def test_a_host_that_a_newer_version_has_released_is_told(known: str) -> None:
    assert _collection.newer("app1", known).startswith(f"app1 was last released by hotswap.bluegreen {known}, and this run has {_collection.version()}: ")


@pytest.mark.parametrize("known", ["", "0.0.9", "0.1.0-rc1", "0.0.10", "?"])
def test_a_host_that_an_older_version_or_nobody_has_released_is_not(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_collection, "version", lambda: "0.1.0")
    assert _collection.newer("app1", known) == ""


def test_the_history_knows_the_version_of_its_last_run_that_said_one(tmp_path: Path) -> None:
    lines = [{"collection": "0.1.0"}, {"collection": "0.2.0"}, {"slot": "blue", "release": "v1"}]
    (tmp_path / "history.jsonl").write_text("".join(json.dumps({"time": 1.0, **line}) + "\n" for line in lines))
    assert _history.collection(str(tmp_path)) == "0.2.0"
    assert _history.collection(str(tmp_path / "none")) == ""
