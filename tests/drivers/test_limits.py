"""What a host says of its logs, memory and load, on real files that grow, are rotated and are written while they are read."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _limits
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import ErrorLog, HostLimits


class Swap:
    """Look after look, as a swap does: each knows what the one before has read."""

    def __init__(self, log: Path, most: int = 0) -> None:
        self.limits = HostLimits((ErrorLog(str(log), "ERROR|CRITICAL", most),))
        self.look()

    def look(self) -> list[str]:
        found, marks = _limits.look(self.limits)
        self.limits = replace(self.limits, marks=json.loads(json.dumps(marks)))
        return [seen for _expected, seen in found]


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_lines_count_that_are_new_whole_and_match(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("ERROR of yesterday\n" * 100)
    swap = Swap(log, most=1)
    append(log, "INFO all is well\nERROR one\nERROR half of a li")
    assert swap.look() == []
    append(log, "ne\n")
    assert swap.look() == ["2 since the swap began, the first: ERROR one"]
    assert swap.look() == ["2 since the swap began, the first: ERROR one"], "they are not counted twice, nor forgotten"


def test_a_log_that_is_rotated_emptied_or_comes_later_is_read_from_its_beginning(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    swap = Swap(log)
    assert any("is not there (yet)" in text for text in _limits.doubts(swap.limits))
    log.write_text("INFO a\n")
    assert swap.look() == []
    log.rename(tmp_path / "app.log.1")
    log.write_text("ERROR after the rotation\n")
    assert swap.look() == ["1 since the swap began, the first: ERROR after the rotation"]
    log.write_text("")
    swap.look()
    append(log, "CRITICAL two\n")
    assert swap.look() == ["2 since the swap began, the first: ERROR after the rotation"]
    log.unlink()
    assert swap.look() == ["2 since the swap began, the first: ERROR after the rotation"]


def test_a_flood_is_read_in_pieces_and_a_line_without_an_end_stops_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(_limits, "_MOST", 1000)
    log = tmp_path / "app.log"
    log.touch()
    swap = Swap(log)
    append(log, "x" * 2500 + "\n" + "ERROR at the end\n")
    looks = [swap.look() for _ in range(4)]
    assert looks[-1] == ["1 since the swap began, the first: ERROR at the end"]


def test_memory_and_load_are_those_of_this_host() -> None:
    crossed, _marks = _limits.look(HostLimits(memory=0.001, load=0.0))
    assert [expected for expected, _seen in crossed] == ["at most 0.001 % of the memory is in use (bluegreen_max_memory)"]
    assert float(crossed[0][1].rstrip(" %")) > 0
    assert _limits.look(HostLimits(memory=100.0, load=1000.0))[0] == ()
