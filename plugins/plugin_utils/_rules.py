# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for single variables that no type can express: names, numbers, paths, what goes into nginx's files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._release import RESERVED_RELEASES

from ._values import show

IN_IMAGE = "In an execution environment, it belongs into the image: see the collection's meta/execution-environment.yml."
NGINX_WORDS = re.compile(r"[^;{}\n\r]*\Z")
_SERVICE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}\Z")
_PATH = re.compile(r"/[A-Za-z0-9._+/@-]*\Z")
_USER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}\Z")
_USER_OF_IMAGE = re.compile(r"([a-z_][a-z0-9_.-]{0,31}|\d+)(:([a-z_][a-z0-9_.-]{0,31}|\d+))?\Z")
_NGINX_SIZE = re.compile(r"\d+[kKmMgG]?\Z")
_SUPERVISOR_SIZE = re.compile(r"\d+([kKmMgG][bB])?\Z")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_POSITIVE = (
    *("boot_timeout", "reload_timeout", "drain_timeout", "stop_timeout", "health_timeout", "health_interval", "build_timeout", "upstream_idle"),
    *("proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "health_successes"),
)


class Problems:
    """What is wrong, a sentence each."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def unless(self, condition: object, text: str) -> bool:
        """Whether the rule is kept; its text is noted if not."""
        if not condition:
            self.found.append(text)
        return bool(condition)


def check(values: Mapping[str, Any], problems: Problems) -> None:
    """Note every rule of a single variable that is broken."""
    _check_names(values, problems)
    _check_numbers(values, problems)
    _check_texts(values, problems)


def _check_names(values: Mapping[str, Any], problems: Problems) -> None:
    service, user = values["service"], values["user"]
    problems.unless(
        _SERVICE.match(service),
        f"bluegreen_service is {show(service)}; a lower-case letter and up to 31 lower-case letters, digits and hyphens are expected.",
    )
    for name, release in (("release", values.get("release")), ("rollback_to", values["rollback_to"] or None)):
        if release is not None:
            problems.unless(
                _RELEASE.match(release), f"bluegreen_{name} is {show(release)}; a letter or digit and up to 127 letters, digits and . _ + - are expected."
            )
            problems.unless(
                release not in RESERVED_RELEASES, f"bluegreen_{name} is {show(release)}, which the collection keeps for itself; choose another name."
            )
    form = _USER if values.get("engine", "hosts") == "hosts" else _USER_OF_IMAGE
    problems.unless(not user or form.match(user), f"bluegreen_user is {show(user)}, which is no user name.")


def _check_numbers(values: Mapping[str, Any], problems: Problems) -> None:
    for name in _POSITIVE:
        value = values[name]
        problems.unless(math.isfinite(value) and value > 0, f"bluegreen_{name} is {value:g}; a positive number is expected.")
    for name in ("max_unreachable", "lock_timeout", "start_seconds", "log_backups", "keep_releases", "upstream_keepalive", "upstream_max_fails", "stop_grace"):
        value = values[name]
        problems.unless(math.isfinite(value) and value >= 0, f"bluegreen_{name} is {value:g}; 0 or a positive number is expected.")
    grace, limit = values["stop_grace"], values["stop_timeout"]
    problems.unless(
        grace == 0 or limit > grace,
        f"bluegreen_stop_timeout (stopwaitsecs) is {limit:g} s, the application's own grace (bluegreen_stop_grace) {grace:g} s: supervisor "
        "would kill it in the middle of a request. Make bluegreen_stop_timeout larger.",
    )


def share(value: Any, count: int, name: str, problems: Problems, down: bool = False) -> int:
    """A number, or a percentage of ``count``, rounded up; ``down`` rounds it down."""
    text = str(value).strip()
    number = text[:-1].strip() if text.endswith("%") else text
    usable = not isinstance(value, bool) and re.match(r"[0-9]{1,9}\Z" if number == text else r"[0-9]{1,3}(\.[0-9]+)?\Z", number)
    if not problems.unless(
        usable and (number == text or float(number) <= 100), f"{name} is {show(value)}; a number, or a percentage such as 50%, is expected."
    ):
        return 0
    return int(number) if number == text else (math.floor if down else math.ceil)(float(number) * count / 100)


def check_headers(name: str, headers: Mapping[Any, Any], problems: Problems) -> None:
    """Names and values that can stand in a request or an answer. The values may be secrets."""
    for header, value in headers.items():
        problems.unless(_HEADER.match(str(header)), f"{name}: {show(header)} is no name of an HTTP header.")
        problems.unless(str(value).isprintable() and str(value).isascii(), f"{name}: the value of {show(header)} must be one line of ASCII.")


def statuses(value: Any, name: str, problems: Problems) -> tuple[int, ...]:
    """One HTTP status, or a list of them."""
    items = value if isinstance(value, (list, tuple)) else [value]
    texts = [str(item) for item in items]
    for text, item in zip(texts, items, strict=True):
        problems.unless(re.match(r"[1-5][0-9]{2}\Z", text), f"{name} is {show(item)}; an HTTP status from 100 to 599 is expected.")
    problems.unless(items, f"{name} is an empty list; an HTTP status is expected.")
    return tuple(int(text) for text in texts if text.isdigit())


def _check_texts(values: Mapping[str, Any], problems: Problems) -> None:
    path = values["health_path"]
    problems.unless(path.startswith("/"), f"bluegreen_health_path is {show(path)}; a path that begins with a slash is expected.")
    problems.unless(
        path.isprintable() and path.isascii() and " " not in path,
        f"bluegreen_health_path is {show(path)}; a path without blanks is expected, other letters than ASCII's as %XX.",
    )
    for name in ("health_header", "health_request_headers"):
        check_headers(f"bluegreen_{name}", values[name], problems)
    paths = ("root", "log_dir", "nginx_config", "nginx_conf_dir", "nginx_state_dir", "nginx_pid_file", "nginx_error_log")
    for name in (
        *paths,
        "supervisor_config",
        "supervisor_socket",
        "supervisor_program_dir",
        "cron_dir",
        "monitoring_textfile_dir",
        "tls_certificate",
        "tls_key",
    ):
        value = values[name]
        problems.unless(
            not value or (_PATH.match(value) and ".." not in value.split("/") and value != "/"),
            f"bluegreen_{name} is {show(value)}; an absolute path of letters, digits and . _ + - @, without '..', is expected.",
        )
    problems.unless(_NGINX_SIZE.match(values["body_size"]), f"bluegreen_body_size is {show(values['body_size'])}; a size such as 50m is expected.")
    problems.unless(
        _SUPERVISOR_SIZE.match(values["log_max_bytes"]), f"bluegreen_log_max_bytes is {show(values['log_max_bytes'])}; a size such as 50MB is expected."
    )
    for name in ("server_name", "next_upstream", "cookie_path", "location"):
        value = values[name]
        problems.unless(NGINX_WORDS.match(value), f"bluegreen_{name} is {show(value)}; it must not hold ; {{ }} or a new line.")
        problems.unless(value.strip() or name == "cookie_path", f"bluegreen_{name} is empty.")
    location = values["location"]
    problems.unless(location.startswith("/") and " " not in location, f"bluegreen_location is {show(location)}; a prefix that begins with a slash is expected.")
    problems.unless(
        bool(values["tls_certificate"]) == bool(values["tls_key"]), "bluegreen_tls_certificate and bluegreen_tls_key belong together; one is missing."
    )
