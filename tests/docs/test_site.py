"""The site is built without a warning, needs no network to be read, and has every page that the project has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs import pages
from tools import site


class Page(HTMLParser):
    """What a page of the site has: anchors, links, and what a browser loads to show it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(given.get("href", ""))
        elif "src" in given:
            self.loaded.append(given["src"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    site.make(out)  # a warning is an error: a link that leads nowhere, a page that is in no list
    return out


@pytest.fixture(scope="module")
def read(built: Path) -> dict[Path, Page]:
    return {path.resolve(): Page(path.read_text()) for path in built.rglob("*.html")}


def test_every_page_is_there_and_the_start_page_leads_to_it(built: Path, read: dict[Path, Page]) -> None:
    start = read[(built / "docs" / "index.html").resolve()]
    led = {(built / "docs" / unquote(link.partition("#")[0])).resolve() for link in start.links if not urlsplit(link).scheme}
    wanted = [path for page in pages.all_pages() if (path := (built / page.relative_to(pages.ROOT)).with_suffix(".html").resolve()) not in led]
    assert [path.relative_to(built) for path in wanted if path.name != "index.html"] == []
    assert "docs/index.html" in (built / "index.html").read_text()


def test_the_reference_has_every_module_and_role(built: Path) -> None:
    modules = {f"{path.stem}_module" for path in (pages.ROOT / "plugins" / "modules").glob("*.py")}
    roles = {f"{path.parents[1].name}_role" for path in (pages.ROOT / "roles").glob("*/meta/argument_specs.yml")}
    assert modules | roles <= {path.stem for path in (built / "reference").glob("*.html")}


def test_every_link_inside_the_site_leads_to_a_page_and_its_anchor(built: Path, read: dict[Path, Page]) -> None:
    assert len(read) > 50
    assert list(broken(read)) == []


def broken(read: dict[Path, Page]) -> Iterator[str]:
    for path, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists():
                yield f"{path.name}: {link}"
            elif parts.fragment and target in read and unquote(parts.fragment) not in read[target].anchors:
                yield f"{path.name}: {link} (no such anchor)"


def test_nothing_is_loaded_from_a_network(built: Path, read: dict[Path, Page]) -> None:
    assert [f"{path.name}: {one}" for path, page in read.items() for one in page.loaded if re.match(r"(\w+:)?//", one)] == []
    styles = [path for path in built.rglob("*.css") if re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text())]
    assert styles == []


def test_the_marks_of_the_tests_stay_out(built: Path) -> None:
    assert [path.name for path in built.rglob("*.html") if re.search(r"<!--\s*(run|not run|file)\b", path.read_text())] == []
