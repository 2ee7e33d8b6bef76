"""Kubernetes' programs: built once from the distribution's source package, then kept in the cache outside the checkout."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tools.engines.box import EngineError
from tools.hosts.image import install
from tools.hosts.place import HostsError
from tools.hosts.place import cache as hosts_cache

VERSION = "1.20.2"
_BUILD = Path(__file__).with_name("kubernetes_build.sh")


def cache() -> Path:
    """What is kept between runs."""
    return hosts_cache().parent / "kubernetes"


def key() -> str:
    """What the programs are called: another way to build them has another name."""
    return f"{VERSION}-{os.uname().machine}-{hashlib.sha256(_BUILD.read_bytes()).hexdigest()[:12]}"


def programs() -> Path:
    """The directory of kube-apiserver, kubelet, kubectl, pause, … If they never were built they are now, a line per step on standard output."""
    folder = cache() / key()
    with _lock("build"):
        if not folder.exists():
            need({"zstd": "zstd"})
            archive = folder.with_name(f"{key()}.tar.zst")
            if not archive.exists():
                _build(archive)
            with _work() as work:
                done = subprocess.run(["tar", "--zstd", "-xf", str(archive), "-C", str(work)], capture_output=True, text=True, check=False)
                if done.returncode:
                    raise EngineError(f"{archive} cannot be unpacked (remove it, and it is built again): {done.stderr.strip()}")
                work.rename(folder)
    return folder


def need(packages: Mapping[str, str]) -> None:
    """Programs of this machine: where one is missing, its Debian package. EngineError with the reason where that is not to be had."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    _install(*(package for program, package in packages.items() if not shutil.which(program, path=path)))


def _install(*packages: str) -> None:
    try:
        with _lock("install"):
            install(*packages)
    except HostsError as error:
        raise EngineError(str(error)) from error


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    """One process at a time; the kernel gives it back when its holder dies."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(archive: Path) -> None:
    _install("golang-1.19-go", "gcc", "libc6-dev")
    log = cache() / "build.log"
    with _work() as work, log.open("w") as errors:
        done = subprocess.run(["nice", "-n", "10", str(_BUILD), str(work), str(archive)], stdin=subprocess.DEVNULL, stderr=errors, check=False)
    if done.returncode:
        said = log.read_text(errors="replace").strip()[-1500:]
        raise EngineError(f"Kubernetes {VERSION} cannot be built from this distribution's source package: {said}")


@contextlib.contextmanager
def _work() -> Iterator[Path]:
    """A directory for as long as the block runs; those of runs that were killed go, too. Under the build's lock."""
    for left in cache().glob("making-*"):
        _remove(left)
    work = Path(tempfile.mkdtemp(prefix="making-", dir=cache()))
    try:
        yield work
    finally:
        _remove(work)


def _remove(folder: Path) -> None:
    for path, _folders, _files in os.walk(folder):  # Go keeps some directories read-only
        with contextlib.suppress(OSError):
            os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)
