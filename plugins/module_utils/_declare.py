# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The structure of a balancer: declare pools with one reload, prove that they serve, or put all back.

Three traps stand behind this file: a reload returns 0 when the new configuration did not load; the old workers go on
answering for 100 ms after one that worked; and a link to a pool that the workers lack answers 502.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterator, Tuple

from . import _files, _maintenance, _mixes, _nginx, _pools, _site, _syslog
from ._model import Refusal, Wish, dump
from ._parts import Member, Nginx

_RELOAD_PATIENCE = 10.0  # seconds; the master retries a port in use for 2.5 s and queues further signals


@dataclass(frozen=True)
class Declaration:
    """What declaring changed: the files before and after (for --diff) and whether nginx was reloaded."""

    changed: bool
    reloaded: bool
    before: Dict[str, str]
    after: Dict[str, str]
    running: bool


def _reload(nginx: Nginx) -> None:
    if nginx.reload_command:
        result = subprocess.run(list(nginx.reload_command), capture_output=True, text=True, timeout=60, check=False)
        if result.returncode:
            raise Refusal(f"nginx: {' '.join(nginx.reload_command)} failed: {result.stderr.strip() or result.returncode}")
        return
    try:
        os.kill(_nginx.master(nginx), signal.SIGHUP)
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
    pools = [*_pools.foreseen((member.id for member in wish.pool), wish.batches), *extra]
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
        return _bring(wish, extra, dry, clock)
    with _files.locked(f"{wish.nginx.conf_dir}/.bluegreen.lock"):
        return _bring(wish, extra, dry, clock)


def _active(wish: Wish, pools: Dict[str, Tuple[Member, ...]]) -> Tuple[Member, ...]:
    """Who serves: the members of the link's pool, or of both while two releases share the requests."""
    link = os.path.basename(_files.target(_nginx.active_link(wish)) or "")
    mix = _mixes.of(link)
    if mix is None:
        return pools.get(link, ())
    if not wish.flips:
        raise Refusal(
            f"nginx: two releases of {wish.service} share its requests; bluegreen_strategy {wish.strategy} cannot do that. "
            "End it first with the strategy of before: release.yml goes on, rollback.yml goes back."
        )
    both = {member.id: member for name in (mix.old, mix.new) for member in pools.get(name, ())}
    return tuple(both[name] for name in sorted(both))


def _bring(wish: Wish, extra: Tuple[_pools.Pool, ...], dry: bool, clock: Callable[[], float]) -> Declaration:
    pools = _nginx.declared(wish)
    active = _active(wish, pools)
    _refuse_moved(wish, active)
    known = {member.id for member in wish.pool}
    first = _nginx.first_pool(wish)
    left = frozenset(member.id for member in active) & known or frozenset(first - _maintenance.read(wish).keys()) or first
    wanted = {**_still_valid(wish, pools), **_wanted(wish, active, (*extra, left))}
    before, after = _nginx.current_files(wish), _site.render(wish, wanted)
    running = bool(_nginx.master(wish.nginx))
    if before == after and wanted == pools and os.path.exists(_nginx.active_link(wish)) and (not running or _current(wish, after)):
        return Declaration(False, False, before, after, running)
    if dry:
        return Declaration(True, False, before, after, running)
    broken = _nginx.test(wish.nginx)
    if broken and before != after:
        raise Refusal(f"nginx: its configuration was broken before we came, nothing was changed: {broken}")
    with _prepared(wish, left):
        reloaded = _put_in_place(wish, before, after, running, clock)
    _keep_record(wish, wanted, after)
    if {member.id for member in active} - known:
        _files.link(f"pools/{_pools.name(left)}", _nginx.active_link(wish))
        return _bring(wish, extra, dry, clock)
    return Declaration(True, reloaded, before, after, running)


@contextlib.contextmanager
def _prepared(wish: Wish, serve: _pools.Pool) -> Iterator[None]:
    """The directories, and a link that resolves before the first server block asks for it; what is new goes on failure."""
    folder = _site.state_dir(wish)
    new, linked = not os.path.isdir(folder), os.path.exists(_nginx.active_link(wish))
    try:
        for path in (folder, f"{_nginx.pool_dir(wish)}/{_pools.name(serve)}", f"{folder}/generations"):
            os.makedirs(path, mode=0o755, exist_ok=True)
        if not linked:
            _files.link(f"pools/{_pools.name(serve)}", _nginx.active_link(wish))
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
                os.unlink(_nginx.active_link(wish))
        raise


def _keep_record(wish: Wish, wanted: Dict[str, Tuple[Member, ...]], files: Dict[str, str]) -> None:
    """Write down which pools the workers serve now, and forget what they do not."""
    for name, members in wanted.items():
        os.makedirs(f"{_nginx.pool_dir(wish)}/{name}", mode=0o755, exist_ok=True)
        _files.write(_nginx.record_path(wish, name), json.dumps([dump(member) for member in members]) + "\n", 0o644)
    for name in set(os.listdir(_nginx.pool_dir(wish))) - set(wanted):
        mix = _mixes.of(name)
        if mix and mix.old in wanted and mix.new in wanted:
            continue
        shutil.rmtree(f"{_nginx.pool_dir(wish)}/{name}")
    folder = f"{_site.state_dir(wish)}/generations"
    for name in set(os.listdir(folder)) - {_site.generation(files)}:
        os.unlink(f"{folder}/{name}")


def _current(wish: Wish, files: Dict[str, str]) -> bool:
    """Whether the workers serve these files, or nobody includes our location yet: the user's part, maybe to come."""
    if _nginx.loaded(wish, _site.generation(files)):
        return True
    folder = os.path.realpath(_site.generation_file(wish, ""))
    return not wish.site.enabled and not any(_nginx.holds_open(pid, folder, prefix=True) for pid in _nginx.workers(wish.nginx))


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
        wrong = _nginx.test(wish.nginx)
        if wrong:
            raise Refusal(f"nginx: refuses the new configuration, the old one was put back: {wrong}")
        if not running:
            return False
        _reloaded(wish, after, since, clock)
    except BaseException:
        restore()
        raise
    return True


def _reloaded(wish: Wish, files: Dict[str, str], since: int, clock: Callable[[], float]) -> None:
    """Reload and wait; told in syslog, however it ends, and counted if it was one."""
    old, began, result = _nginx.workers(wish.nginx), clock(), "failed"
    try:
        _reload(wish.nginx)
        _wait_until_served(wish, files, old, since, clock)
        result = "ok"
        _count_reload(wish)
    finally:
        severity = _syslog.INFO if result == "ok" else _syslog.WARNING
        _syslog.send(_syslog.line("reload", service=wish.service, host=wish.host, result=result, seconds=clock() - began), severity)


def reloads(wish: Wish) -> int:
    """How often we have reloaded this balancer's nginx for the service."""
    text = (_files.read(_reloads_path(wish)) or "").strip()
    return int(text) if text.isdigit() else 0


def _reloads_path(wish: Wish) -> str:
    return f"{_site.state_dir(wish)}/.reloads"


def _count_reload(wish: Wish) -> None:
    with contextlib.suppress(Refusal):  # a counter that cannot be written ends nothing
        _files.write(_reloads_path(wish), f"{reloads(wish) + 1}\n", 0o644)


def _wait_until_served(wish: Wish, after: Dict[str, str], old: Tuple[int, ...], since: int, clock: Callable[[], float]) -> None:
    """Until the workers of before are gone or shutting down and the new ones hold the new generation."""
    deadline = clock() + _RELOAD_PATIENCE
    again = clock() + _RELOAD_PATIENCE / 3
    while clock() < deadline:
        now = _nginx.workers(wish.nginx)
        if now and not set(now) & set(old) and _current(wish, after):
            return
        if clock() > again and set(now) == set(old):  # a HUP in the first moments of a master is forgotten
            again = deadline
            _reload(wish.nginx)
        time.sleep(0.01)
    why = _emergencies(wish.nginx, since)
    if not why and set(_nginx.workers(wish.nginx)) - set(old):
        why = f"is {_site.http_file(wish)} included in the http block of {wish.nginx.config}? (bluegreen_nginx_conf_dir)"
    raise Refusal(
        f"nginx: the reload did not bring the new configuration into service within {_RELOAD_PATIENCE:g} s, "
        f"the old one was put back: {why or 'see its error log'}"
    )
