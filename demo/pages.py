"""What the demo leaves behind: the figures as JSON, the report of each release, and a page of the same sort for the ordinary script."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.bed import collections_path

sys.path.insert(0, str(collections_path()))

from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _journal, _page, _record  # the path above comes first

_OUT = Path(__file__).parent / "out"


class Pages:
    """A directory for this run's pages alone: ``demo/out`` or, where the checkout may not be written to, one elsewhere."""

    def __init__(self) -> None:
        try:
            shutil.rmtree(_OUT, ignore_errors=True)  # so that an old one is not taken for this run's
            _OUT.mkdir(exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(dir=_OUT, prefix=".writable-"))
            self.folder.rmdir()
            self.folder = _OUT
        except OSError:
            self.folder = Path(tempfile.mkdtemp(prefix="bluegreen-demo-"))

    @property
    def reports(self) -> Path:
        """bluegreen_report_dir of the demo's releases."""
        return self.folder / "reports"

    def figures(self, report: Mapping[str, Any]) -> Path:
        """Write all figures of the demo, whole or not at all."""
        path = self.folder / "report.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(report, indent=2) + "\n")
        os.replace(new, path)
        return path

    def ordinary(self, began: float, result: Mapping[str, Any]) -> None:
        """The page of the ordinary script: it keeps no journal, so it has what its clients saw, and nothing else."""
        folder = self.reports / "ordinary-script"
        folder.mkdir(parents=True)
        journal = _journal.Journal(str(folder))
        about = {"service": "shop", "release": "v2 and v3", "way": "release", "by": "an ordinary script", "reason": "restart slot by slot, poll until 200"}
        journal.write("run", **about, hosts=["app1"], serial=["1"], on_failure="stop")
        journal.write("phase", name="script", start=began, seconds=round(time.time() - began, 3), outcome="failed", detail="v3 never answers 200", host="")
        journal.write("probe", result=dict(result))
        journal.write("verdict", booked={"app1": "v3 never answers 200; the script would wait for ever"}, changed=True)
        (folder / "report.html").write_text(_page.page(_record.record(_journal.read(folder))))

    def all(self) -> list[Path]:
        """Every page, in the order of the story."""
        return sorted(self.reports.glob("*/report.html"), key=lambda path: path.stat().st_mtime)
