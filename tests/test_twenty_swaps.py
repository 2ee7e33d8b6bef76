"""Twenty swaps in a row under the demo's load, without one failed request. Part of make test-full: about ten minutes."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from demo import bill, releases
from demo.load import Load
from demo.play import play
from demo.screen import Screen
from tests.conftest import Counts
from tools.bed import Bed

SWAPS, DRAIN = 20, 6
UPLOADS = 1 / 30  # that begin in a second: one at once, and the next one when a swap is over


async def swap_under_load(bed: Bed, release: str, directory: Path) -> dict[str, Any]:
    """One release under the load; what the demo's bill says of it."""
    async with Load(bed.port, UPLOADS) as load:
        await load.warm()
        played = await play(bed, Screen(), "hotswap.bluegreen.release", release=release, source={"directory": str(directory)})
        result = await load.finish()
    assert played.status == 0, "\n".join(played.lines)
    return bill.report(result, played.answer["events"], UPLOADS, reloads=played.answer["reloads"])


@pytest.mark.full
def test_twenty_swaps_in_a_row_lose_no_request(counts: Counts) -> None:
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        made = releases.build(Path(folder) / "built")
        command = {"bluegreen_command": [sys.executable, "shop.py"], "bluegreen_drain_timeout": DRAIN}
        with Bed(Path(folder) / "bed", **command) as bed:
            assert bed.playbook("hotswap.bluegreen.install").returncode == 0
            first = bed.playbook(release="first", source={"directory": str(made["v1"])})
            assert first.returncode == 0, first.stdout
            for number in range(SWAPS):
                report = asyncio.run(swap_under_load(bed, f"r{number}", made["v2" if number % 2 else "v1"]))
                counts.add("swaps under load")
                counts.add("requests during swaps", report["requests"])
                counts.add("failed requests during swaps", report["failed"])
                counts.add("reloads during swaps", report["reloads"])
                assert report["failed"] == 0, report["failures"]
                assert report["websockets"]["cut_without_drain"] == report["websockets"]["not_back_in_time"] == 0
                assert report["reloads"] == 0
