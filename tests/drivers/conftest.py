"""A bed for all driver tests, one for a test that breaks it, and services on them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.drivers.shop import Shop, make_wish, new_ports
from tools.bed import Bed, temporary


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """One nginx and one supervisord for all tests that leave them as they are."""
    with temporary() as shared:
        yield shared


@pytest.fixture
def own_bed() -> Iterator[Bed]:
    """One nginx, without a supervisord, for a test that does something to it."""
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        private = Bed(Path(folder))
        private.path.chmod(0o755)
        for name in ("conf.d", "temp"):
            (private.path / name).mkdir()
        try:
            private.start_nginx()
            yield private
        finally:
            private.stop()


_number = 0


def next_service() -> str:
    """A name that no other test uses."""
    global _number
    _number += 1
    return f"shop{_number}"


MakeShop = Callable[..., Shop]


@pytest.fixture
def make_shop(bed: Bed) -> Iterator[MakeShop]:
    """Makes services with changes to the wish (``slots`` of them, two by default); their processes end with the test."""
    made: list[Shop] = []

    def make(where: Bed = bed, slots: int = 2, **changes: Any) -> Shop:
        made.append(Shop(where, make_wish(where, next_service(), new_ports(slots), **changes)))
        return made[-1]

    yield make
    for one in made:
        one.remove()


@pytest.fixture
def shop(make_shop: MakeShop) -> Shop:
    """A service of two slots, not installed yet."""
    return make_shop()
