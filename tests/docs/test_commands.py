"""Every command of the pages is run by a test, or it is in a short list that says why not. CONTRIBUTING.md has the convention.

A block of commands has one comment right above it: ``run``, ``run on: HOST`` (both by test_getting_started.py), ``run by:`` tests, or
``not run:`` a word of not_run.yml. What a comment claims is held against the tests' own text.
"""

from __future__ import annotations

import ast
import functools
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.cli.adhoc import AdHocCLI
from ansible.cli.doc import DocCLI
from ansible.cli.galaxy import GalaxyCLI
from ansible.cli.inventory import InventoryCLI
from ansible.cli.playbook import PlaybookCLI
from ansible.cli.vault import VaultCLI
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _variables

from tests.docs import pages
from tests.docs.pages import ROOT, Block

NOT_RUN: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "not_run.yml").read_text())
PAGES = pages.all_pages()
BLOCKS = [block for page in PAGES for block in pages.blocks(page) if block.language in pages.COMMANDS]
CLIS = {
    "ansible-playbook": PlaybookCLI, "ansible-galaxy": GalaxyCLI, "ansible-doc": DocCLI, "ansible": AdHocCLI,
    "ansible-inventory": InventoryCLI, "ansible-vault": VaultCLI,
}  # fmt: skip
OURS = "hotswap.bluegreen."
# Words that say where and as whom, not what; a test has its own.
WHERE = {"-i", "--inventory", "--become", "-b", "-K", "--ask-become-pass", "-u", "--user", "-k", "-f", "--forks", "bluegreen_group"}


def ids(block: Block) -> str:
    return str(block)


# What a command says


def variables(words: list[str]) -> list[str]:
    """The names that -e sets."""
    given = [value for option, value in pairwise(words) if option in ("-e", "--extra-vars")]
    given += [word.partition("=")[2] for word in words if word.startswith("--extra-vars=")]
    found: list[str] = []
    for text in given:
        if text.startswith(("{", "@")):
            found += re.findall(r"[\"']?(bluegreen_\w+)[\"']?\s*:", text)
        else:
            found += re.findall(r"(?:^|\s)(\w+)=", text)
    return found


def key_words(words: list[str]) -> set[str]:
    """What a test that runs this command has to say: the program or playbook, its options, the variables."""
    program, rest = Path(words[0]).name, words[1:]
    options = {re.split(r"[=]", word)[0] for word in rest if re.match(r"--\w", word)}
    ours = {word.removeprefix(OURS) for word in rest if word.startswith(OURS)}
    files = {Path(word).name for word in rest if re.fullmatch(r"[\w./-]+\.(yml|yaml|py|sh)", word)}
    named = {name.removeprefix("bluegreen_") for name in variables(rest) if name not in WHERE}
    if program in ("make", "ansible-galaxy"):
        ours |= {word for word in rest if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")}
    return ({program} if program not in ("ansible-playbook", "ansible") else set()) | ours | files | named | (options - WHERE)


# What a test says


@functools.cache
def source(file: Path, test: str) -> str:
    """The text of a test with its decorators, and of its file outside of the other tests; "" where there is no such test."""
    text = file.read_text()
    lines = text.splitlines()
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    if test not in {node.name for node in nodes}:
        return ""
    for node in nodes:
        if node.name != test:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            lines[first - 1 : node.end_lineno] = [""] * ((node.end_lineno or first) - first + 1)
    return "\n".join(lines)


def reads_the_page(text: str, block: Block) -> bool:
    """Whether the test takes this very block from its page: ``pages.block("docs/x.md", "words")``, or all that the page has."""
    if "pages.blocks(" in text and f'"{Path(block.page).name}"' in text:
        return True
    return any(page == block.page and words in block.text for page, words in re.findall(r"pages\.block\(\s*\"([^\"]+)\",\s*\"([^\"]+)\"", text))


def missing(claim: str, block: Block) -> list[str]:
    """What the tests that are named do not have of the block."""
    texts = []
    for one in re.split(r",\s+", claim):
        file, _, test = one.partition("::")
        path = ROOT / file
        text = source(path, test.partition("[")[0]) if path.is_file() else ""
        if not text:
            return [f"there is no test {one}"]
        texts.append(text)
    if any(reads_the_page(text, block) for text in texts):
        return []
    wanted = {word for command in block.commands for words in pages.simple(command) for word in key_words(words)}
    return sorted(word for word in wanted if not any(re.search(rf"(?<![\w-])(?:bluegreen_)?{re.escape(word)}(?![\w-])", text) for text in texts))


# What exists


def wrong(words: list[str], page: Path) -> list[str]:
    """What a command names that does not exist."""
    program, rest = Path(words[0]).name, words[1:]
    found = [f"no playbook {word}" for word in rest if program == "ansible-playbook" and word.startswith(OURS) and not playbook(word)]
    found += [f"no variable {name}" for name in variables(rest) if name.startswith("bluegreen_") and name not in _variables.spec("release")]
    if program == "make" and not {"-C", "-f"} & set(rest):
        found += [f"no target {word}" for word in rest if re.fullmatch(r"[a-z-]+", word) and not re.search(rf"^{word}:", makefile(), re.MULTILINE)]
    if program.startswith("python") and rest[:1] == ["-m"] and rest[1].startswith(("tools.", "demo", "bench", "tests.")):
        path = ROOT / rest[1].replace(".", "/")
        found += [] if path.is_dir() or path.with_suffix(".py").exists() else [f"no module {rest[1]}"]
    if program in CLIS and "…" not in rest:
        cli = CLIS[program]([program, *rest])
        cli.init_parser()
        try:
            cli.parser.parse_args(rest)
        except SystemExit:
            found.append(f"{program} does not know these words")
    return found


def playbook(word: str) -> bool:
    return (ROOT / "playbooks" / f"{word.removeprefix(OURS)}.yml").exists()


@functools.cache
def makefile() -> str:
    return (ROOT / "Makefile").read_text()


# The tests


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    assert [str(block) for block in pages.blocks(page) if not block.language] == []
    indented = [line for line in re.findall(r"(?<=\n)\n    (\S.*)", pages.prose(page)) if re.match(r"(\$ |ansible|make |pip |git |curl |python)", line)]
    assert indented == [], "commands stand in a fenced block"


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_every_command_is_run_by_a_test_or_reviewed(block: Block) -> None:
    kind, _, claim = block.mark.partition(":")
    claim = claim.strip()
    if kind in ("run", "run on"):
        return  # test_getting_started.py runs all that says so
    if kind == "run by":
        assert missing(claim, block) == [], f"{block}: {claim} does not have them"
        return
    assert kind == "not run", f"{block}: a comment right above the block says what runs it (run, run on, run by, not run)"
    assert claim in NOT_RUN, f"{block}: not_run.yml has no {claim}"
    assert [command for command in bare(block) if command not in NOT_RUN[claim]["commands"]] == []


def bare(block: Block) -> list[str]:
    """Commands without the comments behind them."""
    return [re.sub(r"\s+#\s.*$", "", command) for command in block.commands]


def test_what_is_not_run_is_in_a_page_and_has_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    told = [command for block in BLOCKS if block.mark.startswith("not run") for command in bare(block)]
    for word, entry in NOT_RUN.items():
        assert entry["reason"], word
        assert [command for command in entry["commands"] if command not in told] == [], f"{word}: no page has it any more"
        with capsys.disabled():
            for command in entry["commands"]:
                print(f"NOT RUN  {command}  ({entry['reason']})")


@pytest.mark.parametrize("block", BLOCKS, ids=ids)
def test_what_a_command_names_exists(block: Block) -> None:
    for command in block.commands:
        for words in pages.simple(command):
            assert wrong(words, ROOT / block.page) == [], command


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_what_a_command_in_a_sentence_names_exists(page: Path) -> None:
    for code in pages.inline(page):
        if re.match(r"(ansible[a-z-]*|make|python3?) \S", code):
            for words in pages.simple(code.replace("'", "")) if code.count('"') % 2 else pages.simple(code):
                assert wrong(words, page) == [], code
        assert [word for word in re.findall(rf"{re.escape(OURS)}\w+", code) if not known(word)] == [], code


def known(word: str) -> bool:
    last = word.removeprefix(OURS)
    return playbook(word) or (ROOT / "roles" / last).is_dir() or (ROOT / "plugins" / "modules" / f"{last}.py").exists()
