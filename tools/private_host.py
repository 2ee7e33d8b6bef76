"""A host of its own on this machine: this root file system under an overlay, with own processes, network and mounts.

What runs in it may install, configure and start the distribution's own nginx and supervisor; nothing of it is left
afterwards, whatever happens, because the kernel ends the process namespace with its first process. Needs root (or
sudo) and Debian's apt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_OUTSIDE = r"""
set -eu
mount -t tmpfs -o mode=755 bluegreen "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
root=$1/root
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 run "$root/run"
mkdir -p "$root/run/lock"
cp "$2" "$root/run/inside"
for folder in $4; do # on file systems of their own, these are not in the overlay
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
missing=""
for package in $3; do
    chroot "$root" dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    cp -L /etc/resolv.conf "$root/run/resolv.conf" 2>/dev/null || true
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    try=0
    until chroot "$root" apt-get -q update >&2 || [ "$try" = 30 ]; do try=$((try + 1)); sleep 2; done
    chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing >&2
    rm "$root/usr/sbin/policy-rc.d"
fi
shift 4
exec unshare --net --pid --fork --kill-child --mount-proc="$root/proc" chroot "$root" /bin/sh -c 'ip link set lo up; exec "$@"' sh "$@"
"""


def run(script: Path, command: Sequence[str], packages: Sequence[str] = (), seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in a private host in which ``script`` is /run/inside and ``packages`` are installed."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive", "--preserve-env=PATH"]
    shared = sorted({str(ROOT), sys.base_prefix} - {"/usr"})
    folder = tempfile.mkdtemp(prefix="bluegreen-host-")
    try:
        outside = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            _OUTSIDE,
            "sh",
            folder,
            str(script),
            " ".join(packages),
            " ".join(shared),
            *command,
        ]
        return subprocess.run([*sudo, *outside], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
