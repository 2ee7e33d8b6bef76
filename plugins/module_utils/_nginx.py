# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx as a balancer: observe what it serves, declare pools (structure, a reload), switch (state, no reload).

Three traps stand behind this file: ``nginx -s reload`` returns 0 when the new configuration did not load; the old workers go on
answering for 100 ms after a reload that worked; and a link to a pool that the workers lack answers 502.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Dict, FrozenSet, Iterator, Optional, Tuple

from . import _files, _pools, _processes, _site
from ._model import BalancerState, Member, Nginx, Refusal, Wish, dump, load

_RELOAD_PATIENCE = 10.0  # seconds; the master retries a port in use for 2.5 s and queues further signals


@dataclass(frozen=True)
class Declaration:
    """What declaring changed: the files before and after (for --diff) and whether nginx was reloaded."""

    changed: bool
    reloaded: bool
    before: Dict[str, str]
    after: Dict[str, str]
    running: bool


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


def _has_open(pid: int, path: str, prefix: bool = False) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = [_files.target(f"{folder}/{name}") or "" for name in os.listdir(folder)]
        return any(name.startswith(path) if prefix else name == path for name in names)
    except FileNotFoundError:
        return False
    except PermissionError:
        raise Refusal(f"nginx: not allowed to look at its worker {pid}. Use become.") from None


def loaded(wish: Wish, generation: str) -> bool:
    """Whether every worker that takes new connections serves this generation of our files."""
    path = os.path.realpath(_site.generation_file(wish, generation))
    found = workers(wish.nginx)
    return bool(generation and found) and all(_has_open(pid, path) for pid in found)


def _current_files(wish: Wish) -> Dict[str, str]:
    paths = [_site.http_file(wish), *(_site.location_file(wish, port) for port in wish.pool[0].ports)]
    return {path: text for path in paths for text in [_files.read(path)] if text is not None}


def _pool_dir(wish: Wish) -> str:
    return f"{_site.state_dir(wish)}/pools"


def first_target(wish: Wish) -> str:
    """What a new link points to: the pool of all members."""
    return f"pools/{_pools.name(member.id for member in wish.pool)}"


def active_link(wish: Wish) -> str:
    """The link that names the pool in use."""
    return f"{_site.state_dir(wish)}/active"


def _record(wish: Wish, name: str) -> str:
    return f"{_pool_dir(wish)}/{name}/members.json"


def declared(wish: Wish) -> Dict[str, Tuple[Member, ...]]:
    """The pools in the serving configuration, by name: each has a directory, for the link, with its members' record."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(_pool_dir(wish)):
            text = _files.read(_record(wish, name))
            if text is not None:
                found[name] = tuple(load(Member, item) for item in json.loads(text))
    return found


def observe(wish: Wish) -> BalancerState:
    """What this balancer serves: read from the link, the declared pools and the running workers."""
    pools = declared(wish)
    active = os.path.basename(_files.target(active_link(wish)) or "")
    generation = _site.generation(_current_files(wish))
    problem = ""
    if not master(wish.nginx):
        problem = f"nginx does not run: no live process in its pid file {wish.nginx.pid_file} (bluegreen_nginx_pid_file)"
    elif not generation or active not in pools:
        problem = f"nginx has no pools of {wish.service} yet: run hotswap.bluegreen.install"
    return BalancerState(
        active=active,
        serving=tuple(sorted(member.id for member in pools.get(active, ()))),
        pools=tuple(sorted(tuple(sorted(member.id for member in pool)) for pool in pools.values())),
        loaded=not problem and loaded(wish, generation),
        problem=problem,
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


def _reload(nginx: Nginx) -> None:
    if nginx.reload_command:
        result = subprocess.run(list(nginx.reload_command), capture_output=True, text=True, timeout=60, check=False)
        if result.returncode:
            raise Refusal(f"nginx: {' '.join(nginx.reload_command)} failed: {result.stderr.strip() or result.returncode}")
        return
    try:
        os.kill(master(nginx), signal.SIGHUP)
    except OSError as error:
        raise Refusal(f"nginx: cannot signal its master: {error.strerror}. Use become or bluegreen_nginx_reload_command.") from None


def _error_log_size(nginx: Nginx) -> int:
    try:
        return os.path.getsize(nginx.error_log)
    except OSError:
        return 0


def _emergencies(nginx: Nginx, since: int) -> str:
    """nginx's own words about why it did not load a configuration, from byte ``since`` of its error log."""
    try:
        with open(nginx.error_log, encoding="utf-8", errors="replace") as log:
            log.seek(since)
            lines = [line.strip() for line in log if "[emerg]" in line and "still could not bind" not in line]
    except OSError:
        return ""
    return lines[-1] if lines else ""


def _wanted(wish: Wish, active: Tuple[Member, ...], extra: Tuple[_pools.Pool, ...]) -> Dict[str, Tuple[Member, ...]]:
    """The pools to declare, by name: the foreseen ones, ``extra``, and the one in use."""
    pools = [*_pools.foreseen(member.id for member in wish.pool), *extra]
    found = {_pools.name(pool): tuple(member for member in wish.pool if member.id in pool) for pool in pools}
    return {**found, **({_pools.name(member.id for member in active): active} if active else {})}


def _still_valid(wish: Wish, pools: Dict[str, Tuple[Member, ...]]) -> Dict[str, Tuple[Member, ...]]:
    """Pools that a swap declared once stay: forgetting them would cost another reload, and one more the next time."""
    return {name: members for name, members in pools.items() if all(member in wish.pool for member in members)}


def _refuse_moved(wish: Wish, active: Tuple[Member, ...]) -> None:
    """A serving member whose port changed: its process keeps the old one until its swap, nginx would ask the new one."""
    now = {member.id: member for member in wish.pool}
    for member in active:
        new = now.get(member.id, member)
        if (new.address, new.ports) != (member.address, member.ports):
            raise Refusal(
                f"nginx: the slot {member.id} serves on {member.address} {member.ports} and is wished on {new.address} {new.ports}: "
                "give the new ports to a slot of another name, release, and take the old slot out of bluegreen_slots."
            )


def declare(wish: Wish, extra: Tuple[_pools.Pool, ...] = (), dry: bool = False, clock: Callable[[], float] = time.monotonic) -> Declaration:
    """Bring the structure to what is wished: new files, ``nginx -t``, reload, wait until they serve; else all put back.

    The link is created if there is none. It moves only when its pool holds a member that is no more, and then to what
    is left of it: a drain is never undone. With ``dry`` nothing is touched. One declaration at a time on a host,
    because ``nginx -t`` judges the files of all services.
    """
    if dry:
        return _declare(wish, extra, dry, clock)
    with _files.locked(f"{wish.nginx.conf_dir}/.bluegreen.lock"):
        return _declare(wish, extra, dry, clock)


def _declare(wish: Wish, extra: Tuple[_pools.Pool, ...], dry: bool, clock: Callable[[], float]) -> Declaration:
    pools = declared(wish)
    active = pools.get(os.path.basename(_files.target(active_link(wish)) or ""), ())
    _refuse_moved(wish, active)
    known = {member.id for member in wish.pool}
    left = frozenset(member.id for member in active) & known or frozenset(known)
    wanted = {**_still_valid(wish, pools), **_wanted(wish, active, (*extra, left))}
    before, after = _current_files(wish), _site.render(wish, wanted)
    running = bool(master(wish.nginx))
    if before == after and wanted == pools and os.path.exists(active_link(wish)) and (not running or _current(wish, after)):
        return Declaration(False, False, before, after, running)
    if dry:
        return Declaration(True, False, before, after, running)
    broken = test(wish.nginx)
    if broken and before != after:
        raise Refusal(f"nginx: its configuration was broken before we came, nothing was changed: {broken}")
    with _prepared(wish, left):
        reloaded = _put_in_place(wish, before, after, running, clock)
    _keep_record(wish, wanted, after)
    if {member.id for member in active} - known:
        _files.link(f"pools/{_pools.name(left)}", active_link(wish))
        return _declare(wish, extra, dry, clock)
    return Declaration(True, reloaded, before, after, running)


@contextlib.contextmanager
def _prepared(wish: Wish, serve: _pools.Pool) -> Iterator[None]:
    """The directories, and a link that resolves before the first server block asks for it; what is new goes on failure."""
    folder = _site.state_dir(wish)
    new, linked = not os.path.isdir(folder), os.path.exists(active_link(wish))
    try:
        for path in (folder, f"{_pool_dir(wish)}/{_pools.name(serve)}", f"{folder}/generations"):
            os.makedirs(path, mode=0o755, exist_ok=True)
        if not linked:
            _files.link(f"pools/{_pools.name(serve)}", active_link(wish))
        yield
    except OSError as error:
        raise Refusal(
            f"cannot write {error.filename}: {error.strerror}. Use become, or set bluegreen_nginx_state_dir and "
            "bluegreen_nginx_conf_dir to directories that this user may write."
        ) from None
    except Refusal:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        elif not linked:
            with contextlib.suppress(OSError):
                os.unlink(active_link(wish))
        raise


def _keep_record(wish: Wish, wanted: Dict[str, Tuple[Member, ...]], files: Dict[str, str]) -> None:
    """Write down which pools the workers serve now, and forget what they do not."""
    for name, members in wanted.items():
        os.makedirs(f"{_pool_dir(wish)}/{name}", mode=0o755, exist_ok=True)
        _files.write(_record(wish, name), json.dumps([dump(member) for member in members]) + "\n", 0o644)
    for name in set(os.listdir(_pool_dir(wish))) - set(wanted):
        shutil.rmtree(f"{_pool_dir(wish)}/{name}")
    folder = f"{_site.state_dir(wish)}/generations"
    for name in set(os.listdir(folder)) - {_site.generation(files)}:
        os.unlink(f"{folder}/{name}")


def _current(wish: Wish, files: Dict[str, str]) -> bool:
    """Whether the workers serve these files, or nobody includes our location yet: the user's part, maybe to come."""
    if loaded(wish, _site.generation(files)):
        return True
    folder = os.path.realpath(_site.generation_file(wish, ""))
    return not wish.site.enabled and not any(_has_open(pid, folder, prefix=True) for pid in workers(wish.nginx))


def _put_in_place(wish: Wish, before: Dict[str, str], after: Dict[str, str], running: bool, clock: Callable[[], float]) -> bool:
    def restore() -> None:
        for path in after:
            if path in before:
                _files.write(path, before[path], 0o644)
            elif os.path.exists(path):
                os.unlink(path)

    since = _error_log_size(wish.nginx)
    try:
        # Locations first: the file in http includes them.
        for path in sorted(after, key=lambda name: name == _site.http_file(wish)):
            _files.write(path, after[path], 0o644)
        wrong = test(wish.nginx)
        if wrong:
            raise Refusal(f"nginx: refuses the new configuration, the old one was put back: {wrong}")
        if not running:
            return False
        old = workers(wish.nginx)
        _reload(wish.nginx)
        _wait_until_served(wish, after, old, since, clock)
    except BaseException:
        restore()
        raise
    return True


def _wait_until_served(wish: Wish, after: Dict[str, str], old: Tuple[int, ...], since: int, clock: Callable[[], float]) -> None:
    """Until the workers of before are gone or shutting down and the new ones hold the new generation."""
    deadline = clock() + _RELOAD_PATIENCE
    again = clock() + _RELOAD_PATIENCE / 3
    while clock() < deadline:
        now = workers(wish.nginx)
        if now and not set(now) & set(old) and _current(wish, after):
            return
        if clock() > again and set(now) == set(old):  # a HUP in the first moments of a master is forgotten
            again = deadline
            _reload(wish.nginx)
        time.sleep(0.01)
    why = _emergencies(wish.nginx, since)
    if not why and set(workers(wish.nginx)) - set(old):
        why = f"is {_site.http_file(wish)} included in the http block of {wish.nginx.config}? (bluegreen_nginx_conf_dir)"
    raise Refusal(
        f"nginx: the reload did not bring the new configuration into service within {_RELOAD_PATIENCE:g} s, "
        f"the old one was put back: {why or 'see its error log'}"
    )


def switch(wish: Wish, serve: _pools.Pool) -> bool:
    """Let the balancer serve exactly ``serve`` from its next request on: one rename. False if it did already.

    Guards, under the balancer's file lock: the pool is declared and in the running workers, and no member leaves it
    if fewer than ``min_serving`` would stay.
    """
    with _files.locked(f"{_site.state_dir(wish)}/.lock"):
        state = observe(wish)
        if state.problem:
            raise Refusal(state.problem)
        name = _pools.name(serve)
        if name == state.active:
            return False
        if name not in declared(wish) or not state.loaded:
            raise Refusal(f"nginx does not serve a pool of {', '.join(sorted(serve)) or 'nobody'}: run hotswap.bluegreen.install.")
        if set(state.serving) - serve and len(serve) < wish.min_serving:
            raise Refusal(
                f"refused to take {', '.join(sorted(set(state.serving) - serve))} out: {len(serve)} would serve, bluegreen_min_serving is {wish.min_serving}"
            )
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
        _become(uid)
        blocked = (index for index, folder in enumerate(folders) if os.path.lexists(folder) and not os.access(folder, os.X_OK))
        os._exit(next(blocked, 254))
    index = os.WEXITSTATUS(os.waitpid(child, 0)[1])
    return folders[index] if index < len(folders) else None


def _become(uid: int) -> None:
    """Turn this process into the user ``uid`` with its groups, if we may."""
    if os.geteuid() != 0 or uid == 0:
        return
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(uid)
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setgid(entry.pw_gid)
    os.setuid(uid)
