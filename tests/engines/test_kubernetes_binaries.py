"""Kubernetes' programs in the cache: built once, whole or not at all. A script of some lines stands in for the build, which takes minutes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.engines import EngineError
from tools.engines import kubernetes_binaries as binaries

_GOOD = """#!/bin/sh
set -eu
mkdir "$1/out"
echo built >"$1/out/kubectl"
tar -C "$1/out" --zstd -cf "$2" .
"""
_BAD = """#!/bin/sh
mkdir "$1/half"
chmod 500 "$1/half"
echo "no such package" >&2
exit 1
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(binaries, "install", lambda *_packages: None)  # the compiler is not needed


def build_is(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "build.sh"
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setattr(binaries, "_BUILD", path)


def kept() -> set[str]:
    return {path.name for path in binaries.cache().iterdir() if path.suffix not in (".lock", ".log")}


def test_the_programs_are_built_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_is(_GOOD, tmp_path, monkeypatch)
    first = binaries.programs()
    (first / "kubectl").write_text("the very one")
    assert (binaries.programs() / "kubectl").read_text() == "the very one"
    assert kept() == {first.name, f"{first.name}.tar.zst"}


def test_of_a_cache_that_only_has_the_archive_nothing_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_is(_GOOD, tmp_path, monkeypatch)
    first = binaries.programs()
    (first / "kubectl").unlink()
    first.rmdir()
    monkeypatch.setattr(binaries, "_build", lambda _archive: pytest.fail("built again"))
    assert (binaries.programs() / "kubectl").read_text() == "built\n"


def test_another_way_to_build_has_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_is(_GOOD, tmp_path, monkeypatch)
    first = binaries.programs()
    build_is(f"{_GOOD}# better\n", tmp_path, monkeypatch)
    assert binaries.programs() != first


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_is(_BAD, tmp_path, monkeypatch)
    with pytest.raises(EngineError, match=r"1\.20\.2 cannot be built from this distribution's source package: no such package"):
        binaries.programs()
    assert kept() == set()


def test_an_archive_that_is_cut_off_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_is('#!/bin/sh\necho cut >"$2"\n', tmp_path, monkeypatch)
    with pytest.raises(EngineError, match=r"tar\.zst cannot be unpacked \(remove it"):
        binaries.programs()
    assert kept() == {f"{binaries.key()}.tar.zst"}


def test_what_a_killed_build_left_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_is(_GOOD, tmp_path, monkeypatch)
    (binaries.cache() / "making-killed" / "half").mkdir(parents=True)
    binaries.programs()
    assert not (binaries.cache() / "making-killed").exists()


def test_a_distribution_without_the_source_is_told_by_the_build_itself(tmp_path: Path) -> None:
    """The real script; a stand-in for apt-get knows no sources."""
    (tmp_path / "bin").mkdir()
    apt = tmp_path / "bin" / "apt-get"
    apt.write_text('#!/bin/sh\ncase "$*" in *source*kubernetes) echo "E: Unable to find a source package for kubernetes"; exit 100;; esac\n')
    apt.chmod(0o755)
    done = subprocess.run(
        [str(Path(binaries.__file__).with_name("kubernetes_build.sh")), str(tmp_path / "work"), str(tmp_path / "result")],
        env={**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "E: Unable to find a source package for kubernetes\n"
    assert not (tmp_path / "result").exists()
