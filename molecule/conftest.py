"""What a scenario's verify.py needs: the hosts that molecule made. Run by shared/tasks/program.yml."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from scene import Scene


@pytest.fixture(scope="session")
def scene() -> Iterator[Scene]:
    found = Scene(Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]), Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]))
    try:
        yield found
    finally:
        found.finish()
