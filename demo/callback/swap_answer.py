"""What the swap answered, as JSON in the file that DEMO_ANSWER names: the terminal shows its lines, the bill needs its events."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: swap_answer
type: aggregate
short_description: Writes the answer of hotswap.bluegreen.swap to a file
description: See demo/play.py.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "swap_answer"

    def v2_runner_on_ok(self, result: Any) -> None:
        answer = result.result if hasattr(result, "result") else result._result
        if "walks" in answer:
            keys = ("events", "failures", "members", "reloads", "seconds")
            with open(os.environ["DEMO_ANSWER"], "w", encoding="utf-8") as file:
                json.dump({key: answer[key] for key in keys}, file)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self.v2_runner_on_ok(result)
