"""A directory of the controller as an archive."""

from __future__ import annotations

import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _source


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "app.py").write_text("print(1)\n")
    return folder


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def test_the_workers_of_a_run_pack_a_release_once(release: Path, shared: Path) -> None:
    digest = _source.digest(release, ())

    def work(_host: int) -> int:
        return _source.packed(release, (), digest, shared).stat().st_ino

    with ThreadPoolExecutor(8) as hosts:
        archives = set(hosts.map(work, range(8)))

    assert len(archives) == 1
    with tarfile.open(next(shared.glob("*.tar.gz"))) as archive:
        assert archive.getnames() == ["app.py"]


def test_another_content_is_another_archive(release: Path, shared: Path) -> None:
    before = _source.packed(release, (), _source.digest(release, ()), shared)
    (release / "app.py").write_text("print(2)\n")

    assert _source.packed(release, (), _source.digest(release, ()), shared) != before


def test_an_archive_that_was_cut_off_is_made_anew(release: Path, shared: Path) -> None:
    digest = _source.digest(release, ())
    cut_off = Path(f"{shared}/bluegreen-{digest.partition(':')[2]}.tar.gz.draft")
    cut_off.write_bytes(b"half")

    with tarfile.open(_source.packed(release, (), digest, shared)) as archive:
        assert archive.getnames() == ["app.py"]
