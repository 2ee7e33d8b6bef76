# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One long connection of a WebSocket kind: held, asked something on a schedule, opened again when it ends."""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from typing import Any, Dict, Mapping, Optional, Tuple

try:
    import websocket
except ImportError:
    websocket = None

from ._answer import Outcome, classify, content, release
from ._kinds import Kind

HAS_LIBRARY = websocket is not None
with suppress(AttributeError):  # Debian 12's websocket-client (1.2.3) takes 1012 for a mistake of the server
    websocket._abnf.VALID_CLOSE_STATUS = (*websocket._abnf.VALID_CLOSE_STATUS, 1012)
_ANNOUNCED = (1000, 1001, 1012)  # close codes of a server that says goodbye (RFC 6455; 1012 is "service restart" of IANA's list)
_TEXT, _BINARY, _CLOSE = 0x1, 0x2, 0x8


class Ended(Exception):
    """The connection is over. ``announced``: the server said goodbye."""

    def __init__(self, announced: bool, how: str) -> None:
        super().__init__(how)
        self.announced = announced


class Client:
    """A WebSocket, at most one open at a time."""

    def __init__(self, kind: Kind, where: Mapping[str, str]) -> None:
        self._kind, self._where = kind, where
        self._socket: Any = None
        self.release = ""

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self, seconds: float) -> Outcome:
        """The handshake, once."""
        self.release = ""
        with suppress(AttributeError):  # the library keeps cookies for all connections of the process
            websocket._handshake.CookieJar.jar.clear()
        made = websocket.WebSocket(sslopt=_tls(self._kind))
        try:
            made.connect(self._kind.url, timeout=seconds, **_headers(self._kind), redirect_limit=0, http_no_proxy=["*"])
            if made.getstatus() != 101:
                raise websocket.WebSocketBadStatusException("not upgraded", made.getstatus())
        except Exception as error:  # whatever a server makes the library say is a failed handshake
            status = getattr(error, "status_code", None) or made.getstatus()
            made.shutdown()
            if isinstance(status, int) and status != 101:
                return Outcome("status", f"{int(status)}, not 101")
            return Outcome(*_classify(error))
        self._socket = made
        headers = {name.lower(): text for name, text in (made.getheaders() or {}).items()}
        self.release = release({"header": self._where["header"]}, headers, b"") if "header" in self._where else ""
        return Outcome("", "", self.release)

    def send(self) -> None:
        """The kind's text. :class:`Ended` if the connection is over."""
        try:
            self._socket.send(self._kind.send)
        except Exception as error:
            raise self._over(error) from None

    def receive(self, seconds: float) -> Optional[bytes]:
        """A message, or None if none came in time. :class:`Ended` when the connection is over."""
        end = time.monotonic() + seconds
        while True:
            wait = max(0.0, end - time.monotonic())
            if not self._pending() and not select.select([self._socket.sock], [], [], wait)[0]:
                return None
            self._socket.settimeout(max(0.1, self._kind.timeout))
            try:
                opcode, frame = self._socket.recv_data_frame(True)
            except Exception as error:
                raise self._over(error) from None
            if opcode == _CLOSE:
                raise self._closed(frame.data)
            if opcode in (_TEXT, _BINARY):
                data = frame.data if isinstance(frame.data, bytes) else str(frame.data).encode()
                self.release = release(self._where, {}, data) or self.release
                return data

    def _pending(self) -> bool:
        pending = getattr(self._socket.sock, "pending", None)  # what TLS has read already
        return bool(pending and pending())

    def fits(self, message: bytes) -> bool:
        """Whether this is the answer that is expected."""
        return not content(self._kind, message)[0]

    def close(self) -> None:
        """Say goodbye; nobody's answer is awaited."""
        if self._socket is not None:
            with suppress(Exception):
                self._socket.settimeout(0.5)
                self._socket.send_close()
            self._drop()

    def break_off(self) -> None:
        """End it from another thread."""
        with suppress(AttributeError, OSError):
            self._socket.sock.shutdown(socket.SHUT_RDWR)

    def _drop(self) -> None:
        with suppress(Exception):
            self._socket.shutdown()
        self._socket = None

    def _closed(self, data: bytes) -> Ended:
        code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1005
        self._drop()
        return Ended(code in _ANNOUNCED, f"closed by the server with {code}")

    def _over(self, error: BaseException) -> Ended:
        self._drop()
        return Ended(False, f"ended without a close frame: {_classify(error)[1]}")


def _classify(error: BaseException) -> Tuple[str, str]:
    name = type(error).__name__
    if "ConnectionClosed" in name:
        return "closed", "the connection was closed"
    if "Protocol" in name or "Payload" in name or name == "WebSocketException":
        return "content", "this is no WebSocket"
    return classify(error)


def _headers(kind: Kind) -> Dict[str, Any]:
    """The library's options: of a Host or Origin among the other headers it would send a second one."""
    found: Dict[str, Any] = {"header": []}
    for name, text in {"User-Agent": "hotswap.bluegreen probe", **kind.headers}.items():
        if name.lower() in ("host", "origin"):
            found[name.lower()] = text
        else:
            found["header"].append(f"{name}: {text}")
    return found


def _tls(kind: Kind) -> Mapping[str, Any]:
    if kind.verify is False:
        return {"cert_reqs": 0, "check_hostname": False}
    return {"ca_certs": kind.verify} if isinstance(kind.verify, str) else {}
