# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One structured line to the host's syslog, from whatever process of ours is at work. Nothing fails without a syslog.

Python's ``syslog`` takes no address and its logging handler no identity before the line; the format is RFC 3164's, as
libc sends it to the local socket: priority, local time, ``ident[pid]:``, no host name.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from typing import Union

ADDRESS = "/dev/log"
IDENT = "bluegreen"
INFO, WARNING = 6, 4
_DAEMON = 3  # the facility
_LONGEST = 500  # characters of one value: a line must pass through every syslog whole
_PLAIN = re.compile(r"[A-Za-z0-9._+:@/,%-]+\Z")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")  # not strftime's, which a locale changes

Value = Union[str, int, float]


def line(event: str, **fields: Value) -> str:
    """``event=swap service=shop …`` in logfmt. What is not plain is quoted, so that no value can look like a field or a line."""
    return " ".join(f"{name}={_shown(value)}" for name, value in {"event": event, **fields}.items() if value != "")


def _shown(value: Value) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return text if _PLAIN.match(text) else json.dumps(text)


def packet(text: str, severity: int, now: float, pid: int) -> bytes:
    """The datagram for a line."""
    local = time.localtime(now)
    stamp = f"{_MONTHS[local.tm_mon - 1]} {local.tm_mday:2d} {local.tm_hour:02d}:{local.tm_min:02d}:{local.tm_sec:02d}"
    return f"<{_DAEMON * 8 + severity}>{stamp} {IDENT}[{pid}]: {text}".encode("ascii", "replace")


def send(text: str, severity: int = INFO) -> None:
    """Send the line, if there is a syslog that takes it now: one that hangs does not hold up a swap."""
    message = packet(text, severity, time.time(), os.getpid())
    for kind, end in ((socket.SOCK_DGRAM, b""), (socket.SOCK_STREAM, b"\0")):  # some listen on a stream
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sender:
            sender.setblocking(False)
            sender.connect(ADDRESS)
            sender.send(message + end)
            return
