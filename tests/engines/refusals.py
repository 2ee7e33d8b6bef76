"""What an engine cannot take, tried on a real one: each case is refused in a sentence, and nothing is changed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from tests.engines.scenario import Scene
from tests.scenarios import plays


def told(shop: Scene, cases: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What a release said to each case, whose variables differ from the scene's; all in one play, for they are many."""
    tasks = [{"hotswap.bluegreen.rollout": {"engine": shop.engine}}]
    varied = {name: {f"bluegreen_{key}": value for key, value in {"release": "1", **case}.items()} for name, case in cases.items()}
    book = plays.book(shop.folder, {"tasks": plays.attempts(varied, tasks)})
    ran = shop.play(book).good()
    found = plays.failures(subprocess.CompletedProcess([], ran.status, ran.said, ""))
    assert found.keys() == cases.keys(), ran.said
    assert all(text.endswith("\nNothing was changed.") for text in found.values()), found
    return {name: text.removesuffix("\nNothing was changed.") for name, text in found.items()}
