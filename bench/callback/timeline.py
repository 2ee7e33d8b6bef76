"""When each task of a playbook began, and what the swap answered: one JSON file at the end, for bench/ways.py.

It stands in for profile_tasks, which measures the same (from one task's start to the next one's) and prints hundredths.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: timeline
type: aggregate
short_description: Writes the start of each task to the file that BENCH_TIMELINE names
description: See bench/ways.py.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no types
    """Times are of the monotonic clock, which all processes of a machine share."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "timeline"

    def __init__(self) -> None:
        super().__init__()
        self._tasks: list[tuple[str, float]] = []
        self._swap: dict[str, Any] = {}

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._tasks.append((task.get_name().strip(), time.monotonic()))

    def v2_runner_on_ok(self, result: Any) -> None:
        answer = result.result if hasattr(result, "result") else result._result
        if "walks" in answer:
            self._swap = {key: answer[key] for key in ("events", "walks", "reloads", "members", "seconds", "calls")}

    def v2_playbook_on_stats(self, stats: Any) -> None:
        with open(os.environ["BENCH_TIMELINE"], "w", encoding="utf-8") as file:
            json.dump({"tasks": self._tasks, "end": time.monotonic(), "swap": self._swap}, file)
