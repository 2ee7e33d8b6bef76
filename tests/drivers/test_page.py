"""The page of a run in a real browser: nothing leaves it, nothing in it runs, and it can be read on a phone, in the dark and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _page, _record
from playwright.sync_api import Browser, Page

from tests.unit.journals import Run, release
from tests.unit.test_page import marked, whole
from tools.browser import browser

LONG = "x" * 300
PAGES: dict[str, list[dict[str, Any]]] = {
    "two members": release(2),
    "failed": whole(),
    "a hundred members": release(100, 10, hooks=True),
    "forty minutes": release(60, 2, speed=20),
    "cut off": release(8)[:40],
    "nothing": [],
    "markup": [marked(line) for line in whole()],
    "long names": [*Run(LONG, service=LONG, members=[f"{LONG}/{LONG}", "app1/blue"]).begin([(LONG, 1.0, LONG)]).lines, *release(2)],
}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


class Opened:
    """A page as a browser shows it, with all that it said and all that it asked for."""

    def __init__(self, chromium: Browser, path: Path, width: int = 1100, **settings: Any) -> None:
        self.context = chromium.new_context(viewport={"width": width, "height": 800}, **settings)
        self.page: Page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def colour(self, name: str, of: str) -> str:
        return str(self.page.eval_on_selector(name, f"element => getComputedStyle(element).{of}"))

    def outside(self) -> list[str]:
        """What is shown and reaches beyond the window's width, without what scrolls by itself."""
        found = self.page.evaluate(
            """() => [...document.querySelectorAll('body *')]
                .filter(e => !e.closest('.scroll, .names, .defs') && e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 1)
                .map(e => e.outerHTML.slice(0, 200))"""
        )
        return list(found)


def written(folder: Path, lines: list[dict[str, Any]]) -> Path:
    path = folder / "report.html"
    path.write_text(_page.page(_record.record(lines)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", PAGES)
def test_it_fits_a_phone_says_nothing_asks_for_nothing_and_runs_nothing(chromium: Browser, tmp_path: Path, name: str) -> None:
    path = written(tmp_path, PAGES[name])
    with Opened(chromium, path, 320) as opened:
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 320
        assert opened.outside() == []
        assert opened.page.evaluate("window.hit") is None
        assert (opened.said, opened.asked) == ([], [path.as_uri()])
        assert opened.page.inner_text("h1").endswith(".")


def test_its_policy_holds_even_if_something_were_not_escaped(chromium: Browser, tmp_path: Path) -> None:
    path = written(tmp_path, PAGES["two members"])
    bad = "<script>window.hit = 1</script><img src='http://127.0.0.1:9/x' onerror='window.hit = 2'>"
    bad += "<p id='p' style='color: red'>x</p><style>h1 { color: red }</style>"
    path.write_text(path.read_text().replace("<main>", f"<main>{bad}"))
    with Opened(chromium, path) as opened:
        assert opened.page.evaluate("window.hit") is None
        assert "rgb(255, 0, 0)" not in (opened.colour("#p", "color"), opened.colour("h1", "color"))
        assert len([text for text in opened.said if "Content Security Policy" in text]) >= 4


def test_it_is_dark_where_the_reader_wants_that_and_light_on_paper(chromium: Browser, tmp_path: Path) -> None:
    path = written(tmp_path, PAGES["failed"])
    with Opened(chromium, path, color_scheme="dark") as dark, Opened(chromium, path) as light:
        grounds = [opened.colour("html", "backgroundColor") for opened in (dark, light)]
        assert grounds == ["rgb(20, 24, 28)", "rgb(255, 255, 255)"]
        assert dark.colour(".r-new", "fill") != dark.colour(".r-old0", "fill")
        dark.page.emulate_media(media="print", color_scheme="dark")
        assert dark.colour("html", "backgroundColor") == "rgb(255, 255, 255)"
        assert light.page.pdf(format="A4").startswith(b"%PDF")


def test_lanes_and_requests_stand_on_the_same_time_axis(chromium: Browser, tmp_path: Path) -> None:
    with Opened(chromium, written(tmp_path, PAGES["failed"])) as opened:
        boxes = opened.page.eval_on_selector_all("svg[role=img]", "found => found.map(e => [e.getBoundingClientRect().left, e.getBoundingClientRect().width])")
        assert len(boxes) == 3
        assert boxes[0] == boxes[1] == boxes[2]
        lanes = opened.page.locator("svg[role=img]").first
        assert lanes.locator("rect.s-draining").count() > 0
        assert opened.page.eval_on_selector("rect.s-draining", "e => e.getBoundingClientRect().width") > 1


def test_a_state_is_told_by_its_pattern_as_well_as_by_its_colour(chromium: Browser, tmp_path: Path) -> None:
    with Opened(chromium, written(tmp_path, PAGES["failed"])) as opened:
        for state in ("draining", "booting", "checked", "put-back"):
            assert "#p-" in opened.colour(f"rect.s-{state}", "fill"), state
