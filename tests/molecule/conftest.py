"""A directory with a short path: molecule has sockets in it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bg-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
