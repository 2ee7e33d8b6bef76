"""The pages as data: their blocks with the mark above each, their commands as words, their headings and links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("sh", "bash", "console")
_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*)\s*$")
_MARK = re.compile(r"^\s*<!--\s*(?P<words>.*?)\s*-->\s*$")
_HEADING = re.compile(r"^(#+) (.*?)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block: where its fence stands, what it says of itself, and the words of the comment right above it."""

    page: str
    line: int
    language: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """Each command as one line; comments and empty lines left out."""
        joined = self.text.replace("\\\n", " ")
        return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def all_pages() -> list[Path]:
    """Every page that a reader of the project meets; README.zh-CN.md is held to README.md by a test of its own."""
    found = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("README.md")]
    return sorted(path for path in [*found, *(ROOT / "roles").glob("*/README.md")] if path.exists())


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, with their indentation taken away."""
    lines = page.read_text().splitlines()
    found: list[Block] = []
    number = 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        if not opened:
            number += 1
            continue
        end = next(at for at in range(number + 1, len(lines)) if lines[at].strip() == opened["ticks"])
        mark = _MARK.match(lines[number - 1]) if number else None
        text = "\n".join(line.removeprefix(opened["indent"]) for line in lines[number + 1 : end])
        found.append(Block(name(page), number + 1, opened["language"], mark["words"] if mark else "", text + "\n"))
        number = end + 1
    return found


def block(page: str, words: str) -> Block:
    """The one block of a page that holds ``words``, for a test that runs what the page says."""
    found = [one for one in blocks(ROOT / page) if words in one.text]
    assert len(found) == 1, f"{page} has {len(found)} blocks with {words!r}"
    return found[0]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^( *)(```+)[\w-]*\s*\n.*?^\1\2\s*$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def headings(page: Path) -> list[tuple[int, str]]:
    """(level, text) of each."""
    return [(len(found[1]), found[2]) for found in map(_HEADING.match, prose(page).splitlines()) if found]


def anchors(page: Path) -> set[str]:
    """What a link may name in the page, as forges make it of headings."""
    made: dict[str, int] = {}
    found = set()
    for _level, text in headings(page):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", text).lower()).replace(" ", "-")
        count = made[plain] = made.get(plain, -1) + 1
        found.add(f"{plain}-{count}" if count else plain)
    return found


def links(page: Path) -> list[str]:
    """Where the page's links and pictures lead, code left out."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", text)


def inline(page: Path) -> list[str]:
    """The pieces of code inside the text."""
    return re.findall(r"`([^`\n]+)`", prose(page))


def simple(command: str) -> list[list[str]]:
    """The words of each simple command of a line: pipes, lists and substitutions are taken apart."""
    lexer = shlex.shlex(re.sub(r"\$\(|`", "; ", command), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in lexer:
        if set(word) <= set("();|&"):
            found.append([])
        else:
            found[-1].append(word)
    return [words for words in map(_without_settings, found) if words]


def _without_settings(words: list[str]) -> list[str]:
    """Leading ``NAME=value``, and a ``sudo``, are not the program."""
    rest = list(words)
    while rest and (re.match(r"^\w+=", rest[0]) or rest[0] in ("sudo", "cd")):
        if rest.pop(0) == "cd":
            return []
        while rest and rest[0].startswith("-"):
            rest = rest[2:] if rest[0] == "-u" else rest[1:]
    return rest
