# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""supervisord through XML-RPC on its unix socket. Standard library only.

The ``supervisorctl`` command costs 100 ms a call, its ``update`` bounces programs of others; this does neither.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import fnmatch
import http.client
import os
import re
import socket
import time
import xml.parsers.expat
import xmlrpc.client
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from ._model import Refusal
from ._parts import Supervisor
from ._states import DEAD_STATES

# supervisor/xmlrpc.py, class Faults
_BAD_NAME, _ALREADY_ADDED, _CANT_REREAD = 10, 90, 92
_ALREADY_STARTED, _NOT_RUNNING, _STILL_RUNNING = 60, 70, 91
_PATIENCE = 15.0  # seconds for a program that has nothing to end but itself


@dataclass(frozen=True)
class Process:
    """A program as supervisor sees it; ``state`` is ABSENT when it does not know it. ``uptime`` in seconds."""

    state: str
    pid: int = 0
    uptime: float = 0.0
    problem: str = ""


@dataclass(frozen=True)
class Access:
    """How to reach supervisord: what its configuration file says of socket, credentials and included files."""

    socket: str
    username: str = ""
    password: str = ""
    include: Tuple[str, ...] = ()


def read_access(where: Supervisor) -> Access:
    """Read supervisord's own configuration file. The password stays on the host it belongs to."""
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        with open(where.config, encoding="utf-8") as config:
            parser.read_file(config)
    except FileNotFoundError:
        if where.socket:
            return Access(where.socket)
        raise Refusal(
            f"supervisor: its configuration {where.config} is not there. Install supervisor, or set "
            "bluegreen_supervisor_config (or bluegreen_supervisor_socket)."
        ) from None
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        raise Refusal(f"supervisor: cannot read {where.config}: {error}. Set bluegreen_supervisor_config or use become.") from None
    here = os.path.dirname(os.path.abspath(where.config))
    file = where.socket or parser.get("unix_http_server", "file", fallback="")
    if not file:
        raise Refusal(f"supervisor: {where.config} has no [unix_http_server] with a file; the collection needs its unix socket.")
    pattern = parser.get("include", "files", fallback="").split()
    return Access(
        socket=file.replace("%(here)s", here),
        username=parser.get("unix_http_server", "username", fallback=parser.get("supervisorctl", "username", fallback="")),
        password=parser.get("supervisorctl", "password", fallback=parser.get("unix_http_server", "password", fallback="")),
        include=tuple(os.path.join(here, name.replace("%(here)s", here)) for name in pattern),
    )


def includes(access: Access, path: str) -> bool:
    """Whether supervisord reads the file ``path``."""
    return any(fnmatch.fnmatch(os.path.realpath(path), _real_pattern(pattern)) for pattern in access.include)


def _real_pattern(pattern: str) -> str:
    folder, name = os.path.split(pattern)
    return os.path.join(folder if re.search(r"[*?\[]", folder) else os.path.realpath(folder), name)


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, access: Access) -> None:
        secret = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
        headers = [("Authorization", f"Basic {secret}")] if access.username else []
        super().__init__(headers=headers)
        self._access = access

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        return _Connection(self._access.socket)


class Client:
    """supervisord of this host. Every method raises :class:`Refusal` when it cannot be reached."""

    def __init__(self, where: Supervisor) -> None:
        self._access = read_access(where)
        self._rpc = xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self._access), allow_none=True).supervisor

    @property
    def access(self) -> Access:
        return self._access

    def _call(self, method: str, *arguments: Any) -> Any:
        path = self._access.socket
        try:
            return getattr(self._rpc, method)(*arguments)
        except FileNotFoundError:
            raise Refusal(f"supervisor: its socket {path} is not there, so supervisord does not run. Start it.") from None
        except ConnectionRefusedError:
            raise Refusal(f"supervisor: nobody answers on its socket {path}, so supervisord does not run. Start it.") from None
        except PermissionError:
            raise Refusal(f"supervisor: no permission to use its socket {path}. Use become, or give this user access.") from None
        except xmlrpc.client.ProtocolError as error:
            raise Refusal(
                f"supervisor: its socket {path} answers {error.errcode} {error.errmsg}. The username and password "
                "are read from the [supervisorctl] section of its configuration: are they there and right?"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise Refusal(f"supervisor: its socket {path} does not answer: {error}") from None

    def version(self) -> str:
        return str(self._call("getSupervisorVersion"))

    def pid(self) -> int:
        """supervisord's own."""
        return int(self._call("getPID"))

    def process(self, name: str) -> Process:
        """The program's state now. A pid of 0 means: no process."""
        try:
            info = self._call("getProcessInfo", name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _BAD_NAME:
                return Process("ABSENT")
            raise
        uptime = max(0, info["now"] - info["start"]) if info["pid"] else 0
        return Process(info["statename"], info["pid"], float(uptime), info["spawnerr"])

    def pids(self) -> Dict[str, int]:
        """The process of every program that has one, by ``name``, or ``group:name`` where that is another."""
        infos = [info for info in self._call("getAllProcessInfo") if info["pid"]]
        return {info["name"] if info["group"] == info["name"] else f"{info['group']}:{info['name']}": info["pid"] for info in infos}

    def start(self, name: str) -> None:
        """Ask for a start and return at once; one that runs already is fine."""
        self._tolerate((_ALREADY_STARTED,), "startProcess", name, False)

    def stop(self, name: str) -> None:
        """Send the stop signal and return at once; one that does not run is fine."""
        self._tolerate((_NOT_RUNNING, _BAD_NAME), "stopProcess", name, False)

    def signal(self, name: str, signal: str) -> None:
        """Send its process a signal, by its name without SIG."""
        self._tolerate((), "signalProcess", name, signal)

    def reread(self) -> None:
        """Let supervisord read its files again. It applies nothing of what it finds."""
        try:
            self._call("reloadConfig")
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _CANT_REREAD:
                raise Refusal(f"supervisor: its configuration cannot be read: {fault.faultString}") from None
            raise

    def add(self, name: str) -> None:
        """Make the group active. With autostart it starts by itself."""
        try:
            self._call("addProcessGroup", name)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == _BAD_NAME:
                raise Refusal(f"supervisor: does not know the program {name}: is its file among [include] files?") from None
            if fault.faultCode != _ALREADY_ADDED:
                raise Refusal(f"supervisor: cannot add {name}: {fault.faultString}") from None

    def remove(self, name: str) -> None:
        """Forget the stopped group; one that is not there is fine. Others' groups keep their pids."""
        self._tolerate((_BAD_NAME,), "removeProcessGroup", name)

    def _tolerate(self, codes: Tuple[int, ...], method: str, *arguments: Any) -> None:
        try:
            self._call(method, *arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode not in codes:
                raise Refusal(f"supervisor: {method} {' '.join(map(str, arguments[:1]))} failed: {fault.faultString}") from None

    def groups(self) -> Dict[str, Dict[str, Any]]:
        """supervisord's view of every program's configuration that is active, by name."""
        return {info["name"]: info for info in self._call("getAllConfigInfo") if info["inuse"]}

    def log(self, name: str, lines: int = 20, size: int = 8192) -> List[str]:
        """The program's last log lines, standard output and standard error, as far as supervisord keeps them."""
        try:
            info = self._call("getProcessInfo", name)
        except (xmlrpc.client.Fault, Refusal):
            return []
        found: List[str] = []
        for kind in ("Stdout", "Stderr"):
            found += self._tail(name, kind, info[f"{kind.lower()}_logfile"], size)[-lines:]
        return found

    def _tail(self, name: str, kind: str, path: str, size: int) -> List[str]:
        """From the file: supervisord answers with an error for a log that holds what XML cannot; else from supervisord."""
        try:
            with open(path, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - size))
                return log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            pass
        try:
            return str(self._call(f"tailProcess{kind}Log", name, 0, size)[0]).splitlines()
        except (xmlrpc.client.Fault, xml.parsers.expat.ExpatError, Refusal, ValueError):
            return []


def connect(where: Supervisor) -> Client:
    """A client that has been answered once; :class:`Refusal` says why not."""
    client = Client(where)
    client.version()
    return client


def forget(client: Client, name: str, clock: Callable[[], float] = time.monotonic) -> None:
    """Let supervisor stop and forget a program of ours that has nothing to end but itself, if it knows it."""
    deadline = clock() + _PATIENCE
    while client.process(name).state != "ABSENT":
        client.stop(name)
        with contextlib.suppress(Refusal):  # it still runs
            client.remove(name)
        if clock() > deadline:
            raise Refusal(f"supervisor: {name} is still {client.process(name).state} after {_PATIENCE:g} s. Stop it, and run again.")
        time.sleep(0.05)


def waits_for_nothing(process: Optional[Process]) -> bool:
    """Whether the program neither runs nor is about to."""
    return process is None or (process.pid == 0 and process.state in DEAD_STATES)
