"""A root with two slots on disk, and archives and directories to stage there; no daemon runs."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _configuration, _manifest, _stage
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Member, Program
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _source

FILES = {"bin/server": "#!/bin/sh\nexec sleep 60\n", "public/größe.txt": "x" * 3000, "runtime/.keep": ""}


@dataclass
class Stage:
    """A root with two slots, and archives to stage."""

    folder: Path
    wish: Wish
    environment: dict[str, str] = field(default_factory=dict)
    configuration: tuple[_configuration.File, ...] = ()
    sent: frozenset[str] = frozenset()

    def source(self, name: str = "shop.tar.gz", **files: str) -> _stage.Source:
        path = self.folder / name
        with gzip.GzipFile(path, "wb", mtime=0) as file, tarfile.open(fileobj=file, mode="w") as tar:  # the same bytes each time
            for entry, text in {**FILES, **files}.items():
                info = tarfile.TarInfo(entry)
                info.size, info.mode = len(text.encode()), 0o755 if entry.startswith("bin/") else 0o644
                tar.addfile(info, io.BytesIO(text.encode()))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return _stage.Source(name, f"sha256:{digest}", str(path))

    def directory(self, folder: Path, whole: bool = False) -> _stage.Source:
        """A directory as the action sends it: what the host lacks, or the ``whole`` of it; that is kept in ``sent``."""
        tree = _source.read(folder)
        self.sent = _manifest.lacking(tree.entries, "" if whole else _stage.contents(self.wish))
        return _stage.Source(str(folder), tree.digest, str(_source.packed(tree, self.sent, self.folder)), tree=tree.digest)

    def stage(self, source: _stage.Source | None = None, release: str = "v1", **build: Any) -> _stage.Staged:
        wish = replace(self.wish, release=release)
        return _stage.stage(wish, source or self.source(), _stage.Build(**build), self.environment, configuration=self.configuration)

    def is_staged(self, release: str = "v1", **build: Any) -> bool:
        return _stage.is_staged(replace(self.wish, release=release), "", _stage.Build(**build), self.configuration)

    @property
    def root(self) -> Path:
        return Path(self.wish.root)

    def places(self, release: str = "v1") -> list[Path]:
        return [self.root / "releases" / release, self.root / "blue" / release, self.root / "green" / release]

    def is_clean(self, release: str = "v1") -> bool:
        """Nothing of the release is there, whole or in part."""
        names = [path.name for path in self.root.rglob("*")]
        return not any(release in name and not name.endswith(".lock") for name in names)


def make_stage(folder: Path) -> Stage:
    root = folder / "srv"
    for name in ("releases", "blue/.launch", "green/.launch"):
        (root / name).mkdir(parents=True)
    members = (Member("app1", "blue", {"http": 9502}), Member("app1", "green", {"http": 9503}, backup=True))
    return Stage(folder, Wish("shop", "app1", str(root), "v1", members, members, Program(("bin/server", "$PORT"))))
