"""Tests on real clusters. Where a machine cannot have one, they are NOT RUN, and the closing lines say why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import pytest

from tools.engines import EngineError

pytest.register_assert_rewrite("tests.engines.refusals", "tests.engines.releases", "tests.engines.scenario")  # they say what they found, as tests do

Bed = TypeVar("Bed")


@contextmanager
def or_not_run(what: str, cluster: AbstractContextManager[Bed]) -> Iterator[Bed]:
    """The cluster, or the words that it cannot be had here."""
    with ExitStack() as stack:
        try:
            bed = stack.enter_context(cluster)
        except EngineError as error:
            pytest.skip(f"NOT RUN: {what}: {error}")
        yield bed
