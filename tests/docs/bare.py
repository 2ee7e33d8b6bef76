"""A host of tools/hosts made as bare as a new machine: without nginx and supervisor, which apt then brings from a directory of the host.

That directory stands in for the distribution's mirror, because the hosts are offline; what is in it was loaded by this machine's apt.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
from pathlib import Path

from tools.hosts import Host

WANTED = ("nginx", "supervisor", "python3-apt")  # the last is brought by Ansible's own module for apt
_PURGE = "dpkg-query -W -f '${Package}\\n' 'nginx*' 'libnginx*' supervisor | xargs dpkg --purge --force-all >/dev/null 2>&1; ! command -v nginx supervisord"


def make(host: Host, folder: Path) -> None:
    """Take nginx and supervisor away, and let apt find them in a mirror on the host."""
    host.sh(_PURGE)
    archives = folder / "archives"
    if not archives.exists():
        load(host.read("/var/lib/dpkg/status"), archives)
    for deb in archives.glob("*.deb"):
        host.run("sh", "-c", 'mkdir -p /srv/mirror && base64 -d >"$1"', "sh", f"/srv/mirror/{deb.name}", stdin=base64.b64encode(deb.read_bytes()).decode())
    host.write("/srv/mirror/Packages", "\n".join(map(entry, sorted(archives.glob("*.deb")))))
    host.sh("rm -rf /etc/apt/sources.list.d/* /var/lib/apt/lists/*; echo 'deb [trusted=yes] file:/srv/mirror ./' >/etc/apt/sources.list")


def load(status: str, archives: Path) -> None:
    """What a host that has installed ``status`` needs for them, from where this machine's apt has its packages."""
    (archives / "partial").mkdir(parents=True)
    known = archives / "status"
    known.write_text(status)
    settings = {"Dir::State::status": known, "Dir::Cache::archives": archives, "Debug::NoLocking": 1, "APT::Sandbox::User": ""}
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    command = ["apt-get", "-y", "-q", "--no-install-recommends", "--download-only", *options, "install", *WANTED]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout


def entry(deb: Path) -> str:
    """The package's paragraph in a mirror's list."""
    control = subprocess.run(["dpkg-deb", "-f", str(deb)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    content = deb.read_bytes()
    return f"{control.strip()}\nFilename: ./{deb.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
