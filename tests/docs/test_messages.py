"""What the pages quote of messages is what the code says: each quoted sentence has the fixed words of one in plugins/."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.docs import pages
from tests.docs.pages import ROOT

TITLES = re.compile(r"message|what you see|sentence of|line of the release|what is seen")
PAGES = [page for page in pages.all_pages() if page.parent.name in ("docs", "moving")]
Template = tuple[str | None, ...]  # literal pieces, None where a value stands


def quotes(page: Path) -> list[str]:
    """The pieces of code in columns of messages, those with three words and more; in sentences those with six that are no command."""
    found = [code for code in pages.inline(page) if len(code.split()) > 5 and not re.search(r" -|[{$&|>=]", code)]
    column = -1
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            column = -1
        elif column < 0:
            column = next((number for number, cell in enumerate(cells) if TITLES.search(cell)), len(cells))
        elif column < len(cells):
            found += [code for code in re.findall(r"`([^`]+)`", cells[column]) if len(code.split()) > 2]
    return found


@functools.cache
def templates() -> tuple[Template, ...]:
    """Every text in plugins/, and in pieces those with values in them."""
    found: set[Template] = set()
    for path in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                found.add(tuple(str(part.value) if isinstance(part, ast.Constant) else None for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
                found.add((node.value,))
    return tuple(sorted(found, key=str))


def said(fragment: str, template: Template, cut: bool) -> bool:
    """Whether the fragment is how the template begins, or, where it is ``cut``, any piece of it; and is not made of its values alone."""
    for first in range(len(template) if cut else 1):
        heads = begun(template[first], fragment, cut)
        for last in range(first, len(template)) if heads else ():
            between = "".join(".+" if part is None else re.escape(part) for part in template[first + 1 : last])
            for head in heads:
                for tail in ended(template[last], fragment) if last > first else [""]:
                    fixed = re.sub(r"\\S\+.*?\}|\.\+|\\", "", head + between + tail)
                    if len(fixed) >= max(10, len(fragment) / 4) and re.fullmatch(head + between + tail, fragment, re.DOTALL):
                        return True
    return False


def begun(part: str | None, fragment: str, cut: bool) -> list[str]:
    """The first piece as a pattern: a value is short; of a literal there may be its beginning alone, and after a cut its end alone."""
    if part is None:
        return [r"\S+(?: \S+){0,2}"]
    if part.startswith(fragment) or (cut and fragment in part):
        return [re.escape(fragment)]
    return [re.escape(part[at:]) for at in range(len(part) if cut else 1) if fragment.startswith(part[at:])][:1]


def ended(part: str | None, fragment: str) -> list[str]:
    """The last piece as a pattern: anything, or what of a literal the fragment ends with."""
    return [".+"] if part is None else [re.escape(part[:at]) for at in range(len(part), 0, -1) if fragment.endswith(part[:at])][:1]


def known(quote: str) -> bool:
    """Whether somebody says each fragment of the quote; ``…`` stands for what is left out."""
    fragments = re.split(r"\s*…[:,]?\s*", quote)
    return all(any(said(fragment, template, number > 0) for template in templates()) for number, fragment in enumerate(fragments) if len(fragment.split()) > 1)


@pytest.mark.parametrize("page", [page for page in PAGES if quotes(page)], ids=pages.name)
def test_what_is_quoted_of_a_message_is_what_the_code_says(page: Path) -> None:
    assert [quote for quote in quotes(page) if not known(quote)] == []


def test_a_sentence_that_nobody_says_is_found() -> None:
    assert known("there is no release to go back to: 1.4.2 is the only one that was completed")
    assert not known("there is no release to return to: 1.4.2 is the only one that was completed")
    assert not known("the moon is made of cheese")


def test_each_alert_has_a_row_of_what_to_do_and_no_row_is_of_another() -> None:
    rules = (ROOT / "roles" / "monitoring" / "files" / "bluegreen.rules.yml").read_text()
    told = re.findall(r"`(Bluegreen\w+)`", (ROOT / "docs" / "troubleshooting.md").read_text())
    assert sorted(told) == sorted(re.findall(r"alert: (\w+)", rules))
