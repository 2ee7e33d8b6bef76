"""The Pythons to test with: those that this machine has, and others of our own, in a cache outside the checkout.

The machine's own come first, then uv's builds, then Debian's packages (debian.py). Nothing is installed on the machine.
A Python that could not be had is asked for again after a day.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.hosts import place
from tools.matrix import debian

UV = str(Path(sys.executable).with_name("uv"))
_ASK_AGAIN = 24 * 3600.0
_DOWNLOAD_SECONDS = 300.0
_WHICH = "import sys, ssl, ctypes, zlib; print('%d.%d' % sys.version_info[:2])"  # complete, and not a shim that only says no


class Missing(Exception):
    """This Python cannot be had, and why."""


@dataclass(frozen=True)
class Python:
    """An interpreter. ``source`` is where it comes from: "machine", "uv" or "Debian <suite>"."""

    version: str
    path: Path
    source: str


def cache() -> Path:
    return place.cache().parent / "python"


def get(version: str) -> Python:
    """The Python of this version, made available now if it can be; Missing says why it cannot."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # one process gets it, the others find it
        return known(version) or _got(version)


def refused(version: str) -> str:
    """Why it could not be had when it was asked for within the last day, '' if nobody has."""
    note = cache() / f"{version}.missing"
    with contextlib.suppress(OSError):
        if time.time() - note.stat().st_mtime < _ASK_AGAIN:
            return note.read_text()
    return ""


def _got(version: str) -> Python:
    why = [refused(version)]
    if why[0]:
        raise Missing(why[0])
    why[0] = "this machine has none"
    for way in (_uv, debian.unpack):
        try:
            way(version, cache())
        except (debian.NotHad, subprocess.SubprocessError, OSError) as error:
            why.append(" ".join(str(error).split()))
            continue
        found = known(version)
        if found:
            return found
        why.append(f"what {way.__module__.rpartition('.')[2]} got does not run")
    (cache() / f"{version}.missing").write_text("; ".join(why))
    raise Missing("; ".join(why))


def known(version: str) -> Python | None:
    """What is there without asking anybody."""
    for source, path in _places(version):
        if path.exists() and _runs(path) == version:
            return Python(version, path, source)
    return None


def _places(version: str) -> Iterator[tuple[str, Path]]:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (("machine", folder / "bin" / f"python{version}") for folder in sorted((pyenv / "versions").glob(f"{version}.*")))
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if Path(folder) != pyenv / "shims":  # slow, and they only lead to the versions above
            yield "machine", Path(folder) / f"python{version}"
    yield from (("uv", folder / "bin" / f"python{version}") for folder in sorted((cache() / "uv").glob(f"cpython-{version}.*")))
    yield from ((f"Debian {folder.name}", folder / "usr" / "bin" / f"python{version}") for folder in sorted((cache() / version).glob("*")))


@functools.cache
def _runs(path: Path) -> str:
    """The version that it says it is, '' if it says nothing. Isolated, in an empty directory of ours: nobody's code is imported."""
    done = subprocess.run([str(path), "-I", "-c", _WHICH], cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _uv(version: str, folder: Path) -> None:
    command = [UV, "python", "install", "--no-bin", version]
    settings = {**os.environ, "UV_PYTHON_INSTALL_DIR": str(folder / "uv"), "UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "20"}
    done = subprocess.run(
        command, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_DOWNLOAD_SECONDS, check=False
    )
    if done.returncode:
        causes = [line.partition("cause: ")[2].strip() for line in done.stderr.splitlines() if "cause: " in line and "://" not in line]
        raise debian.NotHad(f"uv cannot download it ({causes[-1] if causes else f'exit status {done.returncode}'})")
