# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nginx in front of a service on Docker Swarm: it asks Docker's DNS for the tasks, so it is neither restarted nor reloaded for a release. Pure."""

from __future__ import annotations

from collections.abc import Iterable

PID = "/tmp/nginx.pid"  # in its container, where nobody else is

# - A name in a variable is resolved while it serves, for `valid` seconds; one written out is resolved once, at the start.
# - tasks.NAME are the healthy tasks themselves, whatever the service's endpoint mode is.
# - A task that ends is in an answer of the DNS for up to a second: who finds its port closed asks the next one. Requests
#   that may do something twice (POST) are sent again only if no byte of them had been sent.
_FRAME = """\
pid {pid};
worker_processes auto;
error_log /dev/stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    server_tokens off;
    resolver 127.0.0.11 valid=1s ipv6=off;
    resolver_timeout 2s;
    proxy_connect_timeout 1s;
    proxy_next_upstream error timeout http_503;
    proxy_next_upstream_tries 3;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $upgrade;
    map $http_upgrade $upgrade {{ default upgrade; '' ''; }}
    client_max_body_size 0;
{servers}}}
"""

_SERVER = """\
    server {{
        listen {port};
        set $tasks tasks.{service};
        location / {{ proxy_pass http://$tasks:{port}; }}
{extra}    }}
"""


def config(service: str, ports: Iterable[int], extra: str = "") -> str:
    """nginx.conf. It listens at the ports of the tasks; ``extra`` are lines for each ``server`` block."""
    lines = "".join(f"        {line.strip()}\n" for line in extra.splitlines() if line.strip())
    return _FRAME.format(pid=PID, servers="".join(_SERVER.format(port=port, service=service, extra=lines) for port in ports))
