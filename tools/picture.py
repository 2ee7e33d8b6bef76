"""Take the README's picture of a report: its head, the lanes and the requests, as a browser shows them.

python -m tools.picture REPORT.html PICTURE.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.browser import browser

_WIDTH = 1000  # pixels


def take(report: Path, picture: Path) -> None:
    """The page from its top to the end of its charts."""
    with browser() as chromium:
        page = chromium.new_page(viewport={"width": _WIDTH, "height": 600})
        page.goto(report.absolute().as_uri())
        charts = page.locator("[role=img]").last.bounding_box()
        assert charts, f"{report} has no chart"
        height = charts["y"] + charts["height"] + 18  # the axis below the last
        page.screenshot(path=picture, full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.picture", description="Take a picture of a report.")
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path)
    given = parser.parse_args()
    take(given.report, given.picture)


if __name__ == "__main__":
    main()
