"""A host of tools/hosts made as bare as a new machine: without nginx and supervisor, which apt then brings from a local directory."""

from __future__ import annotations

from tools.hosts import Host

# The packages that are taken away, packed again from what is installed, stand in for the distribution's mirror: the hosts are offline.
_REPACK = r"""
set -eu
mkdir -p /srv/mirror && cd /srv/mirror
for package in $(dpkg-query -W -f '${Package}\n' 'nginx*' 'supervisor' 2>/dev/null | sort -u); do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" | grep -q '^installed$' || continue
    echo "$package"
done
"""


def make(host: Host) -> None:
    """Take away what getting started installs."""
    host.sh("service nginx stop || true; service supervisor stop || true")
    raise NotImplementedError(host.sh(_REPACK).stdout)
