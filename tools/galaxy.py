"""Collections of other people that ours works with, put beside it without Ansible Galaxy: out of the package ``ansible``.

python -m tools.galaxy    put them below build/collections, where ansible and the linters look

The package is fetched once with pip; what is taken out of it stays in the cache of the test bed, and build links to it.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tools.bed import BUILD, collections_path
from tools.hosts.place import cache

PACKAGE = "ansible==12.3.0"  # community.docker 4.8.5, kubernetes.core 6.2.0, awx.awx 24.6.1
ENGINES = ("community.docker", "community.library_inventory_filtering_v1", "kubernetes.core")
WANTED = (*ENGINES, "awx.awx")


def kept() -> Path:
    """The collections path in the cache, with all of them; made now if it is not there."""
    path = cache().parent / "collections" / PACKAGE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as draft:
            print(f"setup: fetching {PACKAGE} for {', '.join(WANTED)}", flush=True)
            command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", draft, PACKAGE]
            subprocess.run(command, stdin=subprocess.DEVNULL, check=True, timeout=600)
            with zipfile.ZipFile(next(Path(draft).glob("ansible-*.whl"))) as wheel:
                heads = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in WANTED)
                wheel.extractall(Path(draft, "whole"), [name for name in wheel.namelist() if name.startswith(heads)])
            with contextlib.suppress(OSError):  # somebody else was quicker
                Path(draft, "whole").rename(path)
    return path


def beside_ours(names: tuple[str, ...] = ENGINES, build: Path = BUILD) -> Path:
    """The collections path of this checkout, with these collections beside ours."""
    path = collections_path(build)
    for name in names:
        link = path / "ansible_collections" / name.replace(".", "/")
        target = kept() / "ansible_collections" / name.replace(".", "/")
        if link.is_symlink() and link.resolve() != target.resolve():
            link.unlink()
        if not link.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                link.symlink_to(target)
    return path


def only(name: str, build: Path) -> Path:
    """A collections path with one of them alone."""
    link = build / "ansible_collections" / name.replace(".", "/")
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        shutil.rmtree(link)
    link.symlink_to(kept() / "ansible_collections" / name.replace(".", "/"))
    return build


if __name__ == "__main__":
    beside_ours()
