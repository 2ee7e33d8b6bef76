"""README.zh-CN.md says what README.md says: section by section the same blocks, tables, links, names and figures."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import pages
from tests.docs.pages import ROOT, Block

ENGLISH, CHINESE = ROOT / "README.md", ROOT / "README.zh-CN.md"
_HAN = re.compile(r"[\u4e00-\u9fff]")


def sections(page: Path) -> list[str]:
    """The text of each section, without blocks."""
    return re.split(r"^#+ .*$", pages.prose(page), flags=re.MULTILINE)


def meaning(block: Block) -> Any:
    """What a block is, whatever its comments say."""
    if block.language == "yaml":
        return yaml.safe_load(block.text)
    text = re.sub(r"/\*.*?\*/", "", block.text) if block.language == "php" else block.text
    mark = r"\s+//.*$" if block.language == "php" else r"(^|\s+)#\s.*$"
    return [line for line in (re.sub(mark, "", line).rstrip() for line in text.splitlines()) if line]


def comments(text: str) -> str:
    """The words that a translation has to change."""
    return " ".join(re.findall(r"(?:\s#|//)\s(.*)$", text, re.MULTILINE))


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in lines]


def targets(page: Path) -> Counter[str]:
    """Where it links to; each of both names the other one."""
    return Counter("the other" if link in (ENGLISH.name, CHINESE.name) else link for link in pages.links(page))


PAIRS = list(zip(pages.headings(ENGLISH), sections(ENGLISH)[1:], sections(CHINESE)[1:], strict=False)) if CHINESE.exists() else []


def test_the_sections_are_the_same() -> None:
    assert [level for level, _ in pages.headings(CHINESE)] == [level for level, _ in pages.headings(ENGLISH)]


def test_the_blocks_are_the_same_but_for_their_comments() -> None:
    english, chinese = pages.blocks(ENGLISH), pages.blocks(CHINESE)
    assert [(block.language, block.mark, meaning(block)) for block in chinese] == [(block.language, block.mark, meaning(block)) for block in english]


def test_the_links_are_the_same() -> None:
    assert targets(CHINESE) == targets(ENGLISH)


@pytest.mark.parametrize(("heading", "english", "chinese"), PAIRS, ids=[heading for (_, heading), _, _ in PAIRS])
def test_a_section_names_the_same_things_and_figures(heading: tuple[int, str], english: str, chinese: str) -> None:
    def names(text: str) -> Counter[str]:
        return Counter(re.findall(r"`([^`\n]+)`", text))

    def figures(text: str) -> Counter[str]:
        return Counter(re.findall(r"\d[\d.,]*\d|\d", re.sub(r"`[^`\n]*`|\]\([^)]*\)", "", text)))

    assert names(chinese) == names(english)
    assert figures(chinese) == figures(english)


@pytest.mark.parametrize(("heading", "english", "chinese"), PAIRS, ids=[heading for (_, heading), _, _ in PAIRS])
def test_a_section_has_the_same_tables(heading: tuple[int, str], english: str, chinese: str) -> None:
    def names(text: str) -> list[tuple[int, list[str]]]:
        return [(len(cells), re.findall(r"`[^`]+`|\]\([^)]*\)", cells[0])) for cells in rows(text)]

    assert names(chinese) == names(english)


def test_nothing_is_left_in_english() -> None:
    paragraphs = [
        text for text in re.split(r"\n\s*\n", pages.prose(CHINESE)) if re.search(r"[A-Za-z]{3} [a-z]{2}", re.sub(r"`[^`]*`|<!--.*?-->|\(.*?\)", "", text))
    ]
    assert [text for text in paragraphs if not _HAN.search(text)] == []
    assert [
        block.line for block in pages.blocks(CHINESE) if re.search(r"[a-z]{3} [a-z]{2}", comments(block.text)) and not _HAN.search(comments(block.text))
    ] == []
