"""The collection's probe, for what runs outside of a playbook: scenarios, tests, the demo, the bench.

It is the very process that a release starts, and ends with the process that started it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from tools.bed import collections_path

if str(collections_path()) not in sys.path:
    sys.path.insert(0, str(collections_path()))

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _probe_process, _processes
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Kind, Settings, dumps

__all__ = ["Kind", "Probe"]


class Probe:
    """``with Probe(name, kinds) as probe``: it runs inside; ``result`` is the final one, once it is stopped. ``release`` as in bluegreen_probe_release."""

    def __init__(self, name: str, kinds: Sequence[Kind], release: dict[str, str], limit: float = 900.0) -> None:
        owner = {"pid": os.getpid(), "start": _processes.start_time(os.getpid())}
        self._folder = _probe_process.place(f"{name}-{os.getpid()}")
        self._settings = dumps(Settings(tuple(kinds), release, limit, "refuse", owner))
        self.result: dict[str, Any] = {}
        self._seen: dict[str, Any] = {}

    def __enter__(self) -> Probe:
        told = _probe_process.start(self._folder, self._settings)
        if not told["begins"]:
            raise RuntimeError(f"the application did not answer: {told['down']}")
        return self

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        self.kill() if error else self.stop()

    def seen(self) -> dict[str, Any]:
        """The result so far. While another thread stops the probe there is a moment with none: then what was seen last."""
        self._seen = _probe_process.look(self._folder)["result"] or self.result or self._seen
        return self._seen

    @property
    def pid(self) -> int:
        return _probe_process.pid(self._folder)

    def stop(self) -> dict[str, Any]:
        """What is under way ends, and nothing else is due; the result."""
        self.result = _probe_process.stop(self._folder)["result"] or self.result
        return self.result

    def kill(self) -> None:
        """End it at once, with whatever it has under way."""
        _probe_process.kill(self._folder)
