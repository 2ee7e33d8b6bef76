"""Images without a registry and without a builder: archives for ``docker load``, written here and kept in the cache.

The hosts' root file system (tools/hosts/image.py), less what no service needs, is the one layer that all share; an
image is a layer of some bytes over it. Both are the same bytes each time, so an image has one ID on all nodes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.hosts.image import rootfs
from tools.hosts.place import Place, cache

APP = Path(__file__).parent / "app" / "app.py"
PORT = 8080
# Not in an image: nobody needs it in a container, and each node unpacks what is there.
_LEFT_OUT = (
    *("boot", "dev", "etc/ssh", "var/cache", "var/lib/dpkg", "var/log", "usr/share", "usr/bin/perl", "usr/bin/ssh", "usr/bin/openssl", "usr/bin/dpkg"),
    *("usr/sbin/sshd", "usr/sbin/tc", "usr/sbin/ldconfig", "usr/sbin/e2fsck", "usr/libexec/sudo", "usr/lib/apt", "usr/lib/openssh", "usr/lib/python3/"),
    *(f"usr/lib/{machine}-linux-gnu/{name}" for machine in ("x86_64", "aarch64") for name in ("perl", "gconv", "libapt", "libdb-5", "libstdc++", "libmvec")),
)
_KEPT = ("usr/share/nginx",)
_HEALTH = {
    # curl begins five times as quickly as Python; a check each second is what makes a release in a test short.
    "Test": ["CMD-SHELL", f"exec curl -fs -m 1 -o /dev/null http://127.0.0.1:${{PORT:-{PORT}}}/health"],
    "Interval": 10**9,
    "Timeout": 2 * 10**9,
    "StartPeriod": 10 * 10**9,
    "Retries": 3,
}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
BROKEN = ("", "500", "exit", "hang", "nohealth")


@dataclass(frozen=True)
class Image:
    """An image: the base, and a layer over it. It is made when it is asked for first, so that a name costs nothing."""

    name: str
    config: str = "{}"  # JSON
    layer: bytes = b""  # a tar

    @property
    def tars(self) -> tuple[Path, ...]:
        """What is to be loaded, in this order."""
        place = _place()
        base, digest = _base(place)
        made = hashlib.sha256(json.dumps([self.name, self.config, digest]).encode() + self.layer).hexdigest()[:12]
        tar = place.cache / f"{self.name.partition(':')[0]}-{made}.tar"
        if not tar.exists():
            with place.lock("image"), _draft(tar) as archive:
                own = hashlib.sha256(self.layer).hexdigest()
                _add(archive, f"{own}.tar", self.layer)
                _describe(archive, self.name, json.loads(self.config), [digest, own])
        return base, tar

    @property
    def tar(self) -> Path:
        """The last, which has the image's own layer and needs that of the first."""
        return self.tars[-1]

    @property
    def id(self) -> str:
        """What engines call it: the digest of its configuration."""
        with tarfile.open(self.tar) as archive:
            manifest = archive.extractfile("manifest.json")
            assert manifest
            return f"sha256:{json.load(manifest)[0]['Config'].removesuffix('.json')}"


def app(release: str, broken: str = "", health: bool = True) -> Image:
    """The application (app/app.py) as this release. ``broken`` is one of BROKEN and part of the tag."""
    if broken not in BROKEN:
        raise ValueError(f"broken is one of {', '.join(BROKEN)}: {broken}")
    tag = "-".join([release, *([broken] if broken else []), *([] if health else ["nohealth"])])
    config: dict[str, Any] = {
        "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin", f"APP_RELEASE={release}", f"APP_BROKEN={broken}"],
        "Entrypoint": ["app"],
        "Cmd": ["serve"],
        "ExposedPorts": {f"{PORT}/tcp": {}},
        "StopSignal": "SIGTERM",
    }
    if health and broken != "nohealth":
        config["Healthcheck"] = _HEALTH
    return Image(f"hotswap-bluegreen-app:{tag}", json.dumps(config), _layer({"usr/local/bin/app": APP.read_bytes()}))


def nginx() -> Image:
    """nginx of the distribution, in the foreground, with its logs where the engine reads them."""
    config = {"Env": ["PATH=/usr/sbin:/usr/bin"], "Entrypoint": ["nginx", "-g", "daemon off;"], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"}
    logs = {"var/log/nginx/access.log": "/dev/stdout", "var/log/nginx/error.log": "/dev/stderr"}
    return Image("hotswap-bluegreen-nginx:1", json.dumps(config), _layer(logs))


def _place() -> Place:
    made = hashlib.sha256(f"{Place.ours().cache.name} {_LEFT_OUT} {_KEPT}".encode()).hexdigest()[:12]
    return Place(cache().parent / "engines" / f"images-{made}", Path())


def _base(place: Place) -> tuple[Path, str]:
    """The archive of the shared layer, and the layer's digest."""
    tar, digest = place.cache / "base.tar", place.cache / "base.digest"
    with place.lock("base"):
        if not digest.exists():
            layer = place.cache / "layer.tar"
            _shrink(rootfs(Place.ours()), layer)
            found = hashlib.sha256(layer.read_bytes()).hexdigest()
            with _draft(tar) as archive:
                archive.add(layer, f"{found}.tar")
                _describe(archive, "hotswap-bluegreen-base:1", {}, [found])
            layer.unlink()
            digest.write_text(found)
    return tar, digest.read_text()


def _shrink(source: Path, target: Path) -> None:
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as new:
        for member in old:
            name = member.name.removeprefix("./")
            if name.startswith(_KEPT) or not name.startswith(_LEFT_OUT):
                new.addfile(member, old.extractfile(member) if member.isreg() else None)


def _layer(files: Mapping[str, bytes | str]) -> bytes:
    """A tar of files. A file's content is bytes, a link's target a text."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as layer:
        for name, content in files.items():
            _add(layer, name, content)
    return out.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes | str) -> None:
    member = tarfile.TarInfo(name)
    member.mode = 0o755
    if isinstance(content, str):
        member.type, member.linkname = tarfile.SYMTYPE, content
        archive.addfile(member)
    else:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))


def _describe(archive: tarfile.TarFile, name: str, config: Mapping[str, Any], layers: list[str]) -> None:
    """What makes an image of layers: its configuration, whose digest is the image's ID, and the list of its parts."""
    about = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}" for layer in layers]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "hotswap.bluegreen"} for _ in layers],
    }
    text = json.dumps(about, sort_keys=True).encode()
    file = f"{hashlib.sha256(text).hexdigest()}.json"
    _add(archive, file, text)
    _add(archive, "manifest.json", json.dumps([{"Config": file, "RepoTags": [name], "Layers": [f"{layer}.tar" for layer in layers]}]).encode())


class _draft:
    """An archive that is there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.draft = path.with_suffix(f".{os.getpid()}")

    def __enter__(self) -> tarfile.TarFile:
        self.archive = tarfile.open(self.draft, "w")
        return self.archive

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self.archive.close()
        if kind:
            self.draft.unlink()
        else:
            self.draft.rename(self.path)
