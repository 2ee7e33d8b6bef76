# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx as a balancer: what runs, what it serves, and the switch, which is one rename and no reload."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from typing import Callable, Dict, FrozenSet, Iterable, Optional, Tuple

from . import _files, _maintenance, _mixes, _pools, _private, _processes, _site, _users
from ._model import Refusal, Wish, load
from ._parts import Member, Nginx
from ._states import BalancerState


def master(nginx: Nginx) -> int:
    """The pid of the running master, 0 if there is none."""
    text = (_files.read(nginx.pid_file) or "").strip()
    pid = int(text) if text.isdigit() else 0
    return pid if pid and _processes.start_time(pid) else 0


def processes(nginx: Nginx) -> FrozenSet[int]:
    """All of nginx's processes, the workers that are shutting down included: whoever may hold a connection."""
    return _processes.tree(master(nginx))


def workers(nginx: Nginx) -> Tuple[int, ...]:
    """The workers that take new connections."""
    return tuple(
        pid
        for pid in _processes.children(master(nginx) or -1)
        for words in [_processes.title(pid)]
        if "worker process" in words and "shutting down" not in words
    )


def holds_open(pid: int, path: str, prefix: bool = False) -> bool:
    """Whether the worker has this very file open, or one whose path begins like this."""
    names = _private.files(pid)
    if names is None:
        raise Refusal(f"nginx: not allowed to look at its worker {pid}. Use become; root in a container may need CAP_SYS_PTRACE.")
    return any(name.startswith(path) if prefix else name == path for name in names)


def loaded(wish: Wish, generation: str) -> bool:
    """Whether every worker that takes new connections serves this generation of our files."""
    path = os.path.realpath(_site.generation_file(wish, generation))
    found = workers(wish.nginx)
    return bool(generation and found) and all(holds_open(pid, path) for pid in found)


def current_files(wish: Wish) -> Dict[str, str]:
    paths = [_site.http_file(wish), *(_site.location_file(wish, port) for port in wish.pool[0].ports)]
    return {path: text for path in paths for text in [_files.read(path)] if text is not None}


def pool_dir(wish: Wish) -> str:
    return f"{_site.state_dir(wish)}/pools"


def first_target(wish: Wish) -> str:
    """What a new link points to: the pool of all members, or, where one slot of each host serves, of the first ones."""
    return f"pools/{_pools.name(first_pool(wish))}"


def first_pool(wish: Wish) -> _pools.Pool:
    """Who serves when nothing was released yet."""
    first: Dict[str, str] = {}
    for member in wish.pool:
        first.setdefault(member.host, member.id)
    return frozenset(first.values()) if wish.flips else frozenset(member.id for member in wish.pool)


def active_link(wish: Wish) -> str:
    """The link that names the pool in use."""
    return f"{_site.state_dir(wish)}/active"


def record_path(wish: Wish, name: str) -> str:
    return f"{pool_dir(wish)}/{name}/members.json"


def declared(wish: Wish) -> Dict[str, Tuple[Member, ...]]:
    """The pools in the serving configuration, by name: each has a directory, for the link, with its members' record."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(pool_dir(wish)):
            text = _files.read(record_path(wish, name))
            if text is not None:
                found[name] = tuple(load(Member, item) for item in json.loads(text))
    return found


def observe(wish: Wish) -> BalancerState:
    """What this balancer serves: read from the link, the declared pools and the running workers."""
    pools = declared(wish)
    active = os.path.basename(_files.target(active_link(wish)) or "")
    mix = _mixes.of(active)
    files = current_files(wish)
    generation = _site.generation(files)
    names = (mix.old, mix.new) if mix else (active,)
    problem = ""
    if not master(wish.nginx):
        problem = f"nginx does not run: no live process in its pid file {wish.nginx.pid_file} (bluegreen_nginx_pid_file)"
    elif not generation or not all(name in pools for name in names):
        problem = f"nginx has no pools of {wish.service} yet: run hotswap.bluegreen.install"
    sides = [frozenset(member.id for member in pools.get(name, ())) for name in names]
    return BalancerState(
        active=_pools.name(sides[0] | sides[1]) if mix else active,
        serving=tuple(sorted(sides[0].union(*sides))),
        pools=tuple(sorted(pools)),
        loaded=not problem and loaded(wish, generation),
        maintenance=_maintenance.read(wish),
        problem=problem,
        entering=tuple(sorted(sides[1] - sides[0])) if mix else (),
        step=mix.step if mix else -1,
        weights=_site.weights(files) if wish.flips else (),
    )


def test(nginx: Nginx) -> Optional[str]:
    """What ``nginx -t`` finds wrong, or None. It creates pid and log files: not for check mode."""
    try:
        result = subprocess.run([*nginx.command, "-t", "-q", "-c", nginx.config], capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise Refusal(f"nginx: the command {nginx.command[0]} is not there. Install nginx, or set bluegreen_nginx_command.") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refusal(f"nginx: cannot run {nginx.command[0]}: {error}") from None
    if result.returncode == 0:
        return None
    # The last line only says that the test failed.
    told = [line.replace("nginx: ", "", 1).strip() for line in result.stderr.splitlines() if not line.endswith("test failed")]
    return "; ".join(told) or f"exit status {result.returncode}"


def dump(nginx: Nginx) -> str:
    """All that nginx reads, file by file, as ``nginx -T`` prints it; '' if it does not."""
    try:
        result = subprocess.run([*nginx.command, "-T", "-q", "-c", nginx.config], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout


class Undeclared(Exception):
    """The serving configuration lacks the pool of these members."""

    def __init__(self, pool: _pools.Pool) -> None:
        super().__init__(", ".join(sorted(pool)) or "nobody")
        self.pool = pool


def switch(wish: Wish, leave: Iterable[str] = (), enter: Iterable[str] = (), guard: Optional[Callable[[_pools.Pool], None]] = None) -> bool:
    """Let the balancer serve, from its next request on, without ``leave`` and with ``enter``: one rename. False if it did already.

    What else it serves stays as it is, whoever changed it last. Guards, all under the balancer's file lock: no member
    comes that is in maintenance (:class:`Refusal`); none leaves if ``guard`` refuses those who would stay, or, without
    one, if they are fewer than ``min_serving`` (:class:`Refusal`); the pool is in the running workers (:class:`Undeclared`).
    """
    with _files.locked(f"{_site.state_dir(wish)}/.lock"):
        state = observe(wish)
        if state.problem:
            raise Refusal(state.problem)
        serving = frozenset(state.serving)
        serve = (serving - frozenset(leave)) | frozenset(enter)
        if serve == serving:
            return False
        _maintenance.refuse_marked(wish, sorted(serve - serving))
        gone = serving - serve
        if gone and guard:
            guard(serve)
        elif gone and len(serve) < wish.min_serving:
            raise Refusal(f"refused to take {', '.join(sorted(gone))} out: {len(serve)} would serve, bluegreen_min_serving is {wish.min_serving}")
        if not state.loaded or _pools.name(serve) not in state.pools:
            raise Undeclared(serve)
        return _files.link(f"pools/{_pools.name(serve)}", active_link(wish))


def shift(wish: Wish, enter: Iterable[str], leave: Iterable[str], weight: float, guard: Callable[[_pools.Pool], None]) -> bool:
    """Give ``weight`` percent of the requests to ``enter``: one rename. False if it was so already.

    With 100 they take the place of ``leave``, else those who serve go on with the rest; 0 is the preview. The guards are
    those of :func:`switch`, and ``guard`` may refuse who would serve in the end.
    """
    enter, leave = frozenset(enter), frozenset(leave)
    with _files.locked(f"{_site.state_dir(wish)}/.lock"):
        state = observe(wish)
        if state.problem:
            raise Refusal(state.problem)
        serving = frozenset(state.serving)
        _maintenance.refuse_marked(wish, sorted(enter - serving))
        old, new = serving - enter, (serving - leave) | enter if weight == 100 else enter
        guard(new)
        for pool in (new,) if weight == 100 else (old, new):
            if not state.loaded or _pools.name(pool) not in state.pools or (weight and weight != 100 and weight not in state.weights):
                raise Undeclared(pool)
        if weight == 100:
            return _files.link(f"pools/{_pools.name(new)}", active_link(wish))
        name = _mixes.Mix(_pools.name(old), _pools.name(new), _mixes.step_of(wish.mixing, weight)).name
        os.makedirs(f"{pool_dir(wish)}/{name}", mode=0o755, exist_ok=True)
        return _files.link(f"pools/{name}", active_link(wish))


def blocked_folder(wish: Wish) -> Optional[str]:
    """The first directory of the link's path that nginx's worker may not search, or None; tried as that user.

    nginx would answer every request with 500. Without root only our own view can be had, which is the worker's
    when nginx runs unprivileged.
    """
    found = workers(wish.nginx)
    uid = os.stat(f"/proc/{found[0]}").st_uid if found else os.geteuid()
    folders = [f"{_site.state_dir(wish)}/pools"]
    while folders[0] != "/":
        folders.insert(0, os.path.dirname(folders[0]))
    child = os.fork()
    if child == 0:
        _users.become(uid)
        blocked = (index for index, folder in enumerate(folders) if os.path.lexists(folder) and not os.access(folder, os.X_OK))
        os._exit(next(blocked, 254))
    index = os.WEXITSTATUS(os.waitpid(child, 0)[1])
    return folders[index] if index < len(folders) else None


def must_be_out(wish: Wish, member: Member) -> None:
    """:class:`Refusal` if this host's nginx may give the member a request."""
    if wish.pool and member.id in observe(wish).serving:
        raise Refusal(f"{member.id} still gets requests from its balancer {wish.host}; it is not touched.")
