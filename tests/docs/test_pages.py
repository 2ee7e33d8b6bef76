"""What the pages show is so: examples use what exists and pass the preflight's rules, links and pictures are there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _topology, _variables, _wish

from tests.docs import pages
from tests.docs.pages import ROOT

PAGES = pages.all_pages()
PICTURES = sorted((ROOT / "docs" / "img").glob("*.svg"))


def examples(page: Path) -> list[Any]:
    return [found for block in pages.blocks(page) if block.language in ("yaml", "yml") for found in yaml.safe_load_all(block.text)]


def variables(value: Any) -> set[str]:
    """All bluegreen_ names anywhere in an example."""
    if isinstance(value, dict):
        return {key for key in value if str(key).startswith("bluegreen_")}.union(*map(variables, value.values()))
    return set().union(*map(variables, value)) if isinstance(value, list) else set()


def filled(value: Any) -> Any:
    """An example with a reader's own values instead of its templates."""
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return list(map(filled, value))
    own = {"inventory_dir": "/home/ops/shop", "bluegreen_release": "1.4.2"}
    return re.sub(r"\{\{ *(\w+).*?\}\}", lambda match: own.get(match[1], match[1]), value) if isinstance(value, str) else value


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_examples_are_yaml_and_use_only_variables_that_exist(page: Path) -> None:
    assert set().union(*map(variables, examples(page))) <= set(_variables.spec("release"))


def test_each_complete_example_passes_the_preflights_rules() -> None:
    complete = [
        example for page in PAGES for example in examples(page) if isinstance(example, dict) and {"bluegreen_command", "bluegreen_service"} <= set(example)
    ]
    assert len(complete) >= 4
    for example in complete:
        values = _variables.collect({**example, "bluegreen_release": "1.4.2"}, filled)
        groups = {example.get("bluegreen_group", "app"): ["web1", "web2"], "lb": ["lb1", "lb2"]}
        shape = _topology.read(values, groups, ["web1", "web2"])
        assert _wish.resolve({**values, "reached_at": "10.0.0.7"}, "web1", shape).wish.release == "1.4.2"


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_links_lead_to_a_file_and_to_a_heading_in_it(page: Path) -> None:
    for link in pages.links(page):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in pages.anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_a_page_has_one_title_and_skips_no_level(page: Path) -> None:
    levels = [level for level, _text in pages.headings(page)]
    assert levels[:1] == [1]
    assert levels.count(1) == 1
    assert [later for before, later in pairwise(levels) if later > before + 1] == []


def test_the_readme_shows_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text and "make test" in text


@pytest.mark.parametrize("picture", PICTURES, ids=pages.name)
def test_a_picture_is_shown_stands_alone_and_names_files_that_exist(picture: Path) -> None:
    shown = [page for page in PAGES for link in pages.links(page) if (page.parent / link).resolve() == picture]
    assert shown
    root = ElementTree.parse(picture).getroot()
    words = " ".join(text for text in root.itertext() if text)
    assert [name for name in re.findall(r"\b_?[\w]+\.(?:py|yml)\b", words) if not list(ROOT.glob(f"p*/**/{name}"))] == []
    outside = [value for element in root.iter() for key, value in element.items() if key.endswith(("href", "src")) and not value.startswith("#")]
    assert outside == []
