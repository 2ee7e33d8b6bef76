"""The root file system of a host, made once with debootstrap and kept in the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tools.hosts.place import ROOT, HostsError, Place, as_root
from tools.hosts.recipe import LEFT_OUT, PACKAGES, SETTLE, suite


def install(*packages: str) -> None:
    """Debian packages of this machine, if they are missing."""
    done = subprocess.run([str(ROOT / "tools/apt.sh"), *packages], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostsError(f"cannot install {' '.join(packages)}:\n{done.stdout}{done.stderr}")


def rootfs(place: Place) -> Path:
    """The tar of the image; made now if it is not there, by one process while the others wait."""
    tar = place.cache / "rootfs.tar"
    with place.lock("image"):
        if not tar.exists():
            _make(tar)
    return tar


def _make(tar: Path) -> None:
    install("debootstrap")
    for left in tar.parent.glob("making-*"):  # of a run that was killed
        subprocess.run(as_root(["rm", "-rf", "--one-file-system", str(left)]), check=False)
    folder = tempfile.mkdtemp(prefix="making-", dir=tar.parent)
    root, draft = f"{folder}/root", f"{folder}/rootfs.tar"
    try:
        mirror, components = _mirror()
        _root("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", f"--components={components}", suite(), root, *mirror)
        _root("chroot", root, "/bin/sh", "-c", SETTLE)
        _root("tar", "-C", root, "--numeric-owner", *(f"--exclude={path}" for path in LEFT_OUT), "-cf", draft, ".")
        _root("chown", f"{os.getuid()}", draft)
        os.replace(draft, tar)
    finally:
        subprocess.run(as_root(["rm", "-rf", "--one-file-system", folder]), check=False)


def _mirror() -> tuple[list[str], str]:
    """Where this machine's own apt gets the distribution from, so that a mirror set up here is used."""
    known = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"], capture_output=True, text=True, check=False
    )
    rows = [words for words in (line.split() for line in known.stdout.splitlines()) if len(words) == 3 and words[1] == suite()]
    http = [row[0] for row in rows if row[0].startswith("http")]
    components = sorted({row[2] for row in rows if row[0] in http[:1]}, key=lambda name: name != "main")
    return http[:1], ",".join(name for name in components if name in ("main", "universe")) or "main"


def _root(*command: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    executable = shutil.which(command[0], path=path) or command[0]
    alone = ["unshare", "--mount", executable, *command[1:]]  # what it mounts ends with it
    environment = {**os.environ, "PATH": path, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}
    done = subprocess.run(as_root(alone), env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise HostsError(f"{command[0]} failed with {done.returncode}:\n{done.stdout[-3000:]}")
