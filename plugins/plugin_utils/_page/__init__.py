# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A record as one HTML page that needs nothing but itself: no script, no font, no picture, nothing that is loaded.

The page is complete as text and SVG. Its Content-Security-Policy forbids every load and every script, and allows the one
style sheet that is in it by its digest, so that a name full of markup could do nothing even if it were not escaped.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from .. import _sentence
from . import _lists, _picture, _traffic
from ._window import Window

_HERE = Path(__file__).parent


@functools.cache
def _template() -> Template:
    engine = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    engine.filters.update(span=_sentence.span, many=lambda number: f"{number:,}")
    return engine.get_template("report.html.j2")


def page(record: Mapping[str, Any]) -> str:
    """``report.html`` of a record (:func:`_record.record`)."""
    window = Window.of(record)
    colours = _picture.colours(record)
    style = (_HERE / "style.css").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return _template().render(
        run=record,
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        style=Markup(style),  # ours, as it is on disk: its digest is in the policy
        window=window,
        picture=_picture.picture(record, window, colours),
        traffic=_traffic.traffic(record, window, colours),
        facts=_lists.facts(record),
        kinds=_lists.kinds(record),
        story=_lists.story(record),
        steps=_lists.steps(record),
        misses=_lists.misses(record),
    )
