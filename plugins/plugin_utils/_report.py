# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run's journal made into ``report.json`` and ``report.html`` beside it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from . import _journal, _page, _record


def write(folder: Path) -> tuple[dict[str, Any], Path]:
    """The record of the run in ``folder``, and its page. OSError without a journal there."""
    found = _record.record(_journal.read(folder))
    html = folder / "report.html"
    _put(folder / "report.json", json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    _put(html, _page.page(found))
    return found, html


def _put(path: Path, text: str) -> None:
    """The whole file at once: who looks meanwhile sees the former one, or none."""
    number, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o640)
        Path(draft).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(draft).unlink()
        raise
