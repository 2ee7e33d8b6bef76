# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The balancer's nginx configuration as text: pools, the map from the link to a pool, locations, server blocks. Pure.

How it works (docs/architecture.md): ``root`` is a symbolic link that nginx resolves for every
request, the last part of the resolved path names the pool, so one rename of the link moves all new requests at once.
"""

from __future__ import annotations

import hashlib
from typing import Dict, List, Mapping, Tuple

from . import _mixes
from ._model import Wish
from ._parts import Member, Site

Pools = Mapping[str, Tuple[Member, ...]]  # by name

_HEADERS = (
    ("Host", "$http_host"),
    ("X-Real-IP", "$remote_addr"),
    ("X-Forwarded-For", "$proxy_add_x_forwarded_for"),
    ("X-Forwarded-Proto", "$scheme"),
    ("X-Forwarded-Host", "$http_host"),
    ("X-Forwarded-Port", "$server_port"),
    ("Upgrade", "$http_upgrade"),
)


def state_dir(wish: Wish) -> str:
    """Where the service's link, pools and locations are on a balancer."""
    return f"{wish.nginx.state_dir}/{wish.service}"


def http_file(wish: Wish) -> str:
    """The file for nginx's ``http`` context: pools, maps and, if wished, the server blocks."""
    return f"{wish.nginx.conf_dir}/bluegreen-{wish.service}.conf"


def location_file(wish: Wish, port: str) -> str:
    """The file to include in a ``location``: it proxies to the port of that name of the active pool."""
    return f"{state_dir(wish)}/location-{port}.conf"


def generation_file(wish: Wish, generation: str) -> str:
    """The log file that only workers with this generation of our files hold open: the proof that they serve it."""
    return f"{state_dir(wish)}/generations/{generation}"


def canary_log(wish: Wish) -> str:
    """Where nginx writes what each side's answers were while two releases share the requests."""
    return f"{state_dir(wish)}/canary.log"


def variable(service: str, what: str) -> str:
    """nginx's name of one of our variables: no hyphen there, and no underscore in a service's name."""
    return f"$bluegreen_{service.replace('-', '_')}_{what}"


def generation(files: Mapping[str, str]) -> str:
    """The generation that rendered files carry."""
    for line in "\n".join(files.values()).splitlines():
        if line.startswith("# generation "):
            return line.split()[2]
    return ""


def render(wish: Wish, pools: Pools) -> Dict[str, str]:
    """All files of the structure, path → text. The generation is a digest of everything else in them."""
    draft = _files(wish, pools, "")
    digest = hashlib.sha256("\0".join(f"{path}\0{draft[path]}" for path in sorted(draft)).encode()).hexdigest()[:16]
    return _files(wish, pools, digest)


def _files(wish: Wish, pools: Pools, digest: str) -> Dict[str, str]:
    ports = list(wish.pool[0].ports)
    text = {http_file(wish): _http(wish, pools, ports, digest)}
    text.update({location_file(wish, port): _location(wish, port, digest) for port in ports})
    return text


def _names(service: str) -> Dict[str, str]:
    """nginx's names of our variables; a cookie that keeps a client with its side is named like the service."""
    words = ("active", "pool", "link", "connection", "tester", "key", "stick", "share", "old", "new", "side")
    return {**{word: variable(service, word) for word in words}, "service": f"bluegreen_{service.replace('-', '_')}"}


def weights_line(wish: Wish) -> str:
    """What the structure says of the weights that it can do, to be read back."""
    return f"# weights {' '.join(f'{weight:g}' for weight in wish.mixing.weights)}".rstrip()


def weights(files: Mapping[str, str]) -> Tuple[float, ...]:
    """The weights that rendered files can do."""
    for line in "\n".join(files.values()).splitlines():
        if line.startswith("# weights"):
            return tuple(map(float, line.split()[2:]))
    return ()


def _log_format(wish: Wish, names: Mapping[str, str]) -> str:
    """One line an answer: when, whose, what the client got, what the upstreams said, and in what time."""
    return f"log_format {names['side'][1:]} '$msec {names['side']} $status $upstream_status $upstream_response_time';"


def _logs(wish: Wish) -> List[str]:
    """Our log while two releases share the requests, and nginx's own ones, which it would switch off; only canaries are judged."""
    if wish.strategy != "canary":
        return []
    side = variable(wish.service, "side")
    return [*(f"access_log {words};" for words in wish.mixing.access_logs), f"access_log {canary_log(wish)} {side[1:]} if={side};"]


def _http(wish: Wish, pools: Pools, ports: List[str], digest: str) -> str:
    names = _names(wish.service)
    lines = [
        f"# Managed by hotswap.bluegreen: service {wish.service}. The link {state_dir(wish)}/active names the pool in use.",
        f"# generation {digest}",
        *([weights_line(wish)] if wish.flips else []),
        f"map $realpath_root {names['active' if wish.flips else 'pool']} {{",
        '    default "";',
        f'    "~/(?<{names["link"][1:]}>[^/]+)$" {names["link"]};',
        "}",
        *(_mixes.maps(wish.mixing, names) if wish.flips else []),
        *([_log_format(wish, names)] if wish.flips else []),
        f"map $http_upgrade {names['connection']} {{",
        "    default upgrade;",
        '    "" "";',
        "}",
    ]
    for name in sorted(pools):
        for port in ports:
            lines += _upstream(wish, name, pools[name], port)
    if wish.site.enabled:
        for port in ports:
            if port in wish.site.listen:
                lines += _server(wish, port)
    return "\n".join(lines) + "\n"


def _upstream(wish: Wish, name: str, members: Tuple[Member, ...], port: str) -> List[str]:
    only_backups = all(m.backup for m in members)  # nginx refuses an upstream with nothing but backups
    servers = [f"    server {_server_line(wish.site, m, port, only_backups)};" for m in members]
    return [
        f"upstream {_upstream_name(wish, port, name)} {{  # {', '.join(m.id for m in members) or 'nobody'}",
        *(servers or ["    server 127.0.0.1:9 down;"]),
        # Idle connections must be shorter than the application's own, or it closes one that a request is on its way to.
        *(_keepalive(wish.site) if servers else []),
        "}",
    ]


def _keepalive(site: Site) -> List[str]:
    """In milliseconds: nginx takes no fraction of a second."""
    return [f"    keepalive {site.keepalive};", f"    keepalive_timeout {max(1, round(site.idle * 1000))}ms;"] if site.keepalive else []


def _upstream_name(wish: Wish, port: str, pool: str) -> str:
    return f"bluegreen-{wish.service}-{port}-{pool}"


def _server_line(site: Site, member: Member, port: str, only_backups: bool) -> str:
    words = [f"{member.address}:{member.ports[port]}", f"max_fails={site.max_fails}"]
    if member.weight != 1:
        words.append(f"weight={member.weight}")
    if member.backup and not only_backups:
        words.append("backup")
    return " ".join(words)


def _location(wish: Wish, port: str, digest: str) -> str:
    site = wish.site
    # Under the location's own prefix, so that the mirror's subrequest comes back to this very location.
    body_first = f"{site.location.rstrip('/')}/bluegreen-{wish.service}-body-first"
    lines = [
        f"# Managed by hotswap.bluegreen: service {wish.service}, port {port}. To include in a location.",
        f"# generation {digest}",
        f"root {state_dir(wish)}/active;",
        # The mirror phase reads the whole body before the pool is looked up: a slow upload goes to the pool of the
        # moment in which it is complete, never to a member that has been stopped since.
        # The workers hold the log open, and never write to it: who asks for this very path is answered by no upstream.
        f"if ($uri = {body_first}) {{",
        f"    access_log {generation_file(wish, digest or 'none')} combined if=$upstream_addr;",
        "    return 204;",
        "}",
        f"mirror {body_first};",
        "mirror_request_body on;",
        "proxy_http_version 1.1;",
        *(f"proxy_set_header {name} {value};" for name, value in _HEADERS),
        f"proxy_set_header Connection {variable(wish.service, 'connection')};",
        *([f"proxy_cookie_path {site.cookie_path};"] if site.cookie_path else []),
        f"proxy_connect_timeout {site.connect_timeout}s;",
        f"proxy_read_timeout {site.read_timeout}s;",
        f"proxy_send_timeout {site.send_timeout}s;",
        f"proxy_next_upstream {site.next_upstream};",
        *_logs(wish),
        *([f"add_header Set-Cookie {variable(wish.service, 'stick')};"] if wish.mixing.sticky and wish.mixing.weights else []),
        f"proxy_pass http://{_upstream_name(wish, port, variable(wish.service, 'pool'))};",
    ]
    return "\n".join(lines) + "\n"


def _server(wish: Wish, port: str) -> List[str]:
    site = wish.site
    tls = [f"    ssl_certificate {site.tls_certificate};", f"    ssl_certificate_key {site.tls_key};"] if site.tls_certificate else []
    return [
        "server {",
        f"    listen {site.listen[port]}{' ssl' if tls and 'ssl' not in site.listen[port].split() else ''};",
        *([f"    listen {wish.mixing.listen};"] if wish.mixing.listen and port == next(iter(wish.pool[0].ports)) else []),
        f"    server_name {site.server_name};",
        *tls,
        f"    client_max_body_size {site.body_size};",
        *(f"    {line}" for line in site.extra.splitlines() if line.strip()),
        f"    location {site.location} {{",
        f"        include {location_file(wish, port)};",
        "    }",
        "}",
    ]
