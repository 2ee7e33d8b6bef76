"""The collection as it is published: packed from what git knows of this checkout, installed elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tools.bed import PYTHON, ROOT, environment


def galaxy(folder: Path, *words: str) -> str:
    """Run ``ansible-galaxy collection``, which must go well, and without a warning."""
    command = [str(Path(PYTHON).parent / "ansible-galaxy"), "collection", *words]
    # Of an own path for collections: what is on it is "installed already".
    settings = environment(ANSIBLE_COLLECTIONS_PATH=str(folder / "nothing"))
    done = subprocess.run(command, cwd=folder, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked() -> list[str]:
    """The files of this checkout that git knows, as they are now."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def export(folder: Path, version: str = "") -> Path:
    """A copy of the checkout's own files, without what lies about in it; with another ``version``, if one is given."""
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    if version:
        metadata = folder / "galaxy.yml"
        text = metadata.read_text()
        metadata.write_text("\n".join(f"version: {version}" if line.startswith("version:") else line for line in text.splitlines()) + "\n")
    return folder


def packed(folder: Path, source: Path = ROOT) -> Path:
    """The tarball of the collection in ``source``, made in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    galaxy(folder, "build", str(source), "--output-path", str(folder))
    (tarball,) = folder.glob("hotswap-bluegreen-*.tar.gz")
    return tarball


def contents(tarball: Path) -> set[str]:
    """The files in it."""
    with tarfile.open(tarball) as archive:
        return {member.name for member in archive if not member.isdir()}


def metadata(tarball: Path) -> dict[str, Any]:
    """What the tarball says of itself: name, version, authors …"""
    with tarfile.open(tarball) as archive:
        manifest = archive.extractfile("MANIFEST.json")
        assert manifest
        return dict(json.load(manifest)["collection_info"])


def installed(tarball: Path, place: Path) -> Path:
    """A collections path with the tarball's contents, made in ``place`` without a network."""
    galaxy(place.parent, "install", "--offline", "-p", str(place), str(tarball))
    return place
