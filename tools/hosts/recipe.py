"""What a host is made of: the distribution's own packages, sshd for many connections, and two people with sudo."""

from __future__ import annotations

import platform

PACKAGES = ("python3", "ca-certificates", "openssh-server", "iproute2", "procps", "curl", "sudo", "nginx", "supervisor", "cron")
PASSWORD = "secret"
# Run in the new system. One file of keys for all users, because who logs in is not what is tested.
SETTLE = f"""
set -eu
useradd -m -s /bin/bash deploy
useradd -m -s /bin/bash ops
echo deploy:{PASSWORD} | chpasswd
printf 'deploy ALL=(ALL) ALL\\nops ALL=(ALL) NOPASSWD: ALL\\n' >/etc/sudoers.d/people
chmod 440 /etc/sudoers.d/people
printf 'AuthorizedKeysFile /etc/ssh/authorized_keys\\nMaxStartups 300\\nMaxSessions 300\\nUseDNS no\\n' >/etc/ssh/sshd_config.d/people.conf
rm -f /etc/motd /etc/update-motd.d/* /usr/sbin/policy-rc.d
"""
# Not packed: nobody reads it there.
LEFT_OUT = ("./var/cache/apt", "./var/lib/apt/lists", "./usr/share/doc", "./usr/share/locale", "./usr/share/man")
RECIPE = f"{PACKAGES}\n{SETTLE}\n{LEFT_OUT}"
# A host's first process collects the orphans of its services (--init), this one keeps it up. sshd is a service like the others.
# No name server, which would be waited for in vain (Python's http.server asks at its start): names are in /etc/hosts.
BOOT = ': >/etc/resolv.conf; printf "%s\\n" "$KEY" >/etc/ssh/authorized_keys; mkdir -p /run/sshd; /usr/sbin/sshd; exec sleep infinity'


def suite() -> str:
    """The distribution of the hosts, which is this machine's: bookworm, noble, …"""
    return platform.freedesktop_os_release()["VERSION_CODENAME"]
