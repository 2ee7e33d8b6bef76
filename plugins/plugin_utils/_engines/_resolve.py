# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From typed variables to the service of an engine: a pure function. Every rule that is broken is told at once, by the variable's name."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.module_utils._config_checks import Check
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Health, Hook, Layout
from ansible_collections.hotswap.bluegreen.plugins.module_utils._probe._kinds import Settings
from ansible_collections.hotswap.bluegreen.plugins.module_utils._program import check_environment

from .. import _commands, _config_checks, _hook_rules, _notify_rules, _paths, _probe_rules, _rules, _values, _window
from .._rules import Problems
from .._values import show
from . import _mapping
from ._service import Cron, File, Resources, Service, Worker

_IMAGE = re.compile(r"[a-z0-9][a-z0-9._:-]*(/[a-z0-9._-]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@sha256:[0-9a-f]{64})?\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_CPU = re.compile(r"[0-9]+(\.[0-9]{1,3})?\Z")
_MEMORY = re.compile(r"[0-9]+[KMGT]\Z")
_PORT_NAME = re.compile(r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?\Z")  # a port of Kubernetes has 15 letters at most
_WORKER = re.compile(r"[a-z][a-z0-9]{0,15}\Z")
_SCHEDULE = re.compile(r"(@(hourly|daily|weekly|monthly|yearly)|\S+( +\S+){4})\Z")
_WATCH = 5.0  # seconds that a replica must stay healthy; the default of Swarm's monitor, too
_PAUSE = 5.0  # seconds after which the routes of a cluster have followed
_LONGEST = 7 * 86400.0  # seconds, as on hosts
_OF_HOOKS = ("before_release", "after_release", "on_rollback")


@dataclass(frozen=True)
class Run:
    """How a run goes, and what only the controller needs of it."""

    lock_timeout: float = 0.0
    rollback_to: str = ""
    report_dir: str = ""
    unlock_reason: str = ""
    notify: tuple[_notify_rules.Target, ...] = ()
    probe: Settings | None = None
    probe_on: str = _probe_rules.CONTROLLER
    window: _window.Window | None = None
    window_override: str = ""
    checks: tuple[Check, ...] = ()
    hooks: tuple[Hook, ...] = ()
    configuration: tuple[tuple[_paths.ConfigFile, bool], ...] = field(default=(), repr=False)


def resolve(values: Mapping[str, Any], given: Collection[str]) -> tuple[Service, Run]:
    """The service and how its run goes. ``given`` are the variables that the user has set. :class:`Refusal` names all faults.

    The files of the service have no content yet: :func:`with_files`.
    """
    problems = Problems()
    engine = str(values["engine"])
    _rules.check(values, problems)
    problems.found += _mapping.refusals(engine, given)
    ports = _ports(values["ports"], problems)
    health = _health(values, ports, engine, problems)
    replicas = values["replicas"]
    sides = values["strategy"] == "blue_green" and engine == _mapping.KUBERNETES
    batch = max(replicas, 1) if sides else _batch(values, problems)
    problems.unless(replicas >= 1, f"bluegreen_replicas is {replicas}; 1 or more is expected.")
    need = _rules.share(values["min_serving"], max(replicas, 1), "bluegreen_min_serving", problems)
    problems.unless(need <= max(replicas, 1), f"bluegreen_min_serving is {need}, and bluegreen_replicas {replicas}: make one larger or the other smaller.")
    problems.unless(sides or values["strategy"] == "rolling", _strategy(values["strategy"], engine))
    problems.unless(values["on_failure"] != "host", "bluegreen_on_failure is host, and an engine's replicas have no host of theirs; stop or fleet is expected.")
    hooks = _hook_rules.read(values, problems)
    for hook in hooks:
        if hook.at == "migrate":
            problems.unless(not hook.on, "bluegreen_migrate: on has no meaning on an engine, which runs it in a container where there is room. Take it away.")
        elif hook.on not in ("", _probe_rules.CONTROLLER):
            problems.found.append(f"bluegreen_{hook.at}: on is {show(hook.on)}; host (the play's first one) or controller is expected on an engine.")
    pause = values["kubernetes"]["drain_pause"]
    pause = min(_PAUSE, values["drain_timeout"]) if pause is None else pause
    problems.unless(
        0 <= pause <= values["drain_timeout"],
        f"bluegreen_kubernetes: drain_pause is {pause:g}; 0 to bluegreen_drain_timeout ({values['drain_timeout']:g}) is expected.",
    )
    service = Service(
        name=values["service"],
        release=values.get("release") or "",
        image=_image(values.get("image"), values.get("release") or "", problems),
        command=_commands.words(values.get("command"), "bluegreen_command", problems),
        environment=_environment(values, ports, problems),
        ports=ports,
        health=health,
        boot_timeout=values["boot_timeout"],
        drain_timeout=values["drain_timeout"],
        drain_pause=pause if engine == _mapping.KUBERNETES else 0.0,
        stop_signal=values["stop_signal"],
        stop_timeout=math.ceil(values["stop_timeout"]),
        user=values["user"],
        replicas=replicas,
        batch=batch,
        watch=_WATCH if values["watch"] is None else values["watch"],
        on_failure="stop" if values["on_failure"] == "stop" else "rollback",
        strategy=values["strategy"],
        keep_old=_keep_old(values["keep_old"], problems) if sides else 0.0,
        old_stays=sides and values["old"] == "stay",
        workers=_workers(values, problems),
        crons=_crons(values, problems),
        migrate=tuple(hook for hook in hooks if hook.at == "migrate"),
        resources=_resources(values["resources"], problems),
        keep_releases=values["keep_releases"],
        options=_options(values[engine], problems),
    )
    run = Run(
        lock_timeout=values["lock_timeout"],
        rollback_to=values["rollback_to"],
        report_dir=values["report_dir"],
        unlock_reason=values["unlock_reason"],
        notify=_notify_rules.read(values, problems),
        probe=_probe_rules.read(values, problems),
        probe_on=values["probe_on"],
        window=_window.read(values.get("window"), problems),
        window_override=_window.reason(values["window_override"], problems),
        checks=_config_checks.read(values["config_checks"], problems),
        hooks=tuple(hook for hook in hooks if hook.at in _OF_HOOKS),
        configuration=_configuration(values, problems),
    )
    problems.unless(
        not run.report_dir or run.report_dir.startswith("/"),
        f"bluegreen_report_dir is {show(run.report_dir)}; an absolute path on the controller is expected.",
    )
    if problems.found:
        raise Refusal("\n".join(dict.fromkeys(problems.found)))
    return service, run


def with_files(service: Service, contents: Mapping[str, bytes], run: Run) -> Service:
    """The service with the files of its release; ``contents`` are by the path that :func:`_paths.config_files` gave them."""
    return replace(service, files=tuple(File(file.dest, contents[file.dest], file.mode, secret) for file, secret in run.configuration))


def _strategy(strategy: str, engine: str) -> str:
    has, _colon, where = _mapping.row("strategy").of(engine).text.partition(": ")
    return f"bluegreen_strategy is {strategy}, and {_mapping.TITLES[engine]} has {has.partition(';')[0]}: {where}."


def _keep_old(seconds: float, problems: Problems) -> float:
    problems.unless(0 <= seconds <= _LONGEST, f"bluegreen_keep_old is {seconds:g}; seconds from 0 to {_LONGEST:.0f} are expected.")
    return seconds


def _image(given: Any, release: str, problems: Problems) -> str:
    """The reference with a tag or digest; '' where a rollback asks for none."""
    if given is None:
        return ""
    text = str(given)
    if not problems.unless(
        _IMAGE.match(text),
        f"bluegreen_image is {show(given)}; an image such as registry.example/shop, in lower-case letters, with or without a tag, is expected.",
    ):
        return ""
    if "@" in text or ":" in text.rpartition("/")[2]:
        return text
    problems.unless(
        not release or _TAG.match(release),
        f"bluegreen_release is {show(release)}, and bluegreen_image has no tag of its own: as a tag, letters, digits and . _ - are expected.",
    )
    return f"{text}:{release}"


def _ports(given: Any, problems: Problems) -> dict[str, int]:
    value = _values.parsed(given)
    found = dict(value) if isinstance(value, Mapping) else {"http": value}
    problems.unless(found, "bluegreen_ports is empty; a port, or a dictionary of ports by name, is expected.")
    for name, port in found.items():
        problems.unless(
            _PORT_NAME.match(str(name)), f"bluegreen_ports: {show(name)} is no name of a port; a letter and up to 14 letters, digits and hyphens are expected."
        )
        usable = not isinstance(port, bool) and str(port).isdigit() and 0 < int(port) < 65536
        problems.unless(usable, f"bluegreen_ports: {name} is {show(port)}; a port from 1 to 65535 is expected.")
    problems.unless(len(set(map(str, found.values()))) == len(found), "bluegreen_ports has one port under two names; name each once.")
    return {str(name): int(port) for name, port in found.items() if str(port).isdigit()} or {"http": 8080}


def _environment(values: Mapping[str, Any], ports: Mapping[str, int], problems: Problems) -> dict[str, str]:
    """The user's, and what a program is told on hosts, too. Its values may be secrets and are in no sentence."""
    named = {f"PORT_{name.upper().replace('-', '_')}": str(port) for name, port in ports.items()}
    ours = {"PORT": str(next(iter(ports.values()))), **named, "BLUEGREEN_SERVICE": values["service"], "BLUEGREEN_RELEASE": values.get("release") or ""}
    try:
        found = check_environment(values["environment"])
    except Refusal as error:
        problems.found.append(str(error))
        found = {}
    for name in sorted(ours.keys() & found.keys()):
        problems.found.append(f"bluegreen_environment: {name} is set by the collection itself; take it out.")
    return {**found, **ours}


def _health(values: Mapping[str, Any], ports: Mapping[str, int], engine: str, problems: Problems) -> Health:
    statuses = _rules.statuses(values["health_status"], "bluegreen_health_status", problems)
    port = values["health_port"]
    problems.unless(not port or port in ports, f"bluegreen_health_port is {show(port)}, which bluegreen_ports has not; it has {', '.join(ports)}.")
    if engine == _mapping.KUBERNETES:
        wrong = [status for status in statuses if not 200 <= status < 400]
        problems.unless(
            not wrong, f"bluegreen_health_status is {wrong[0] if wrong else ''}; a probe of Kubernetes takes 200 to 399 for good, and nothing else."
        )
    return Health(
        path=values["health_path"],
        statuses=statuses,
        request_headers={name: str(value) for name, value in values["health_request_headers"].items()},
        port=port,
        timeout=values["health_timeout"],
        interval=values["health_interval"],
        successes=values["health_successes"],
    )


def _batch(values: Mapping[str, Any], problems: Problems) -> int:
    items = _values.listed(values["serial"])
    if not problems.unless(
        len(items) == 1, f"bluegreen_serial is {show(values['serial'])}; an engine's batches are all alike: one number or percentage is expected."
    ):
        return 1
    return max(_rules.share(items[0], max(values["replicas"], 1), "bluegreen_serial", problems, down=True), 1)


def _options(given: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """The engine's own; an nginx without an image is none."""
    front = given.get("nginx") or {}
    problems.unless(
        front.get("image") or not front.get("publish"), "bluegreen_swarm: nginx has no image, and publishes ports; give it one, such as nginx:1.27."
    )
    return {**given, **({"nginx": front if front.get("image") else {}} if "nginx" in given else {})}


def _resources(given: Mapping[str, Any], problems: Problems) -> Resources:
    for names, form, example in ((("cpu", "cpu_limit"), _CPU, "0.5"), (("memory", "memory_limit"), _MEMORY, "256M")):
        for name in names:
            value = given[name]
            problems.unless(value is None or form.match(str(value)), f"bluegreen_resources: {name} is {show(value)}; such as {example} is expected.")
    return Resources(**{name: "" if given[name] is None else str(given[name]) for name in ("cpu", "memory", "cpu_limit", "memory_limit")})


def _workers(values: Mapping[str, Any], problems: Problems) -> tuple[Worker, ...]:
    found = []
    for number, entry in enumerate(values["workers"], 1):
        where = f"bluegreen_workers, entry {number}"
        name, command = str(entry.get("name") or ""), _commands.words(entry.get("command"), f"{where}: command", problems)
        problems.unless(_WORKER.match(name), f"{where}: name is {show(name)}; a lower-case letter and up to 15 letters and digits are expected.")
        problems.unless(command, f"{where} has no command.")
        timeout = values["stop_timeout"] if entry.get("stop_timeout") is None else entry["stop_timeout"]
        found.append(Worker(name, command, entry["scope"], entry.get("stop_signal") or values["stop_signal"], math.ceil(timeout)))
    _once("bluegreen_workers", [worker.name for worker in found], problems)
    return tuple(found)


def _crons(values: Mapping[str, Any], problems: Problems) -> tuple[Cron, ...]:
    found = []
    for number, entry in enumerate(values["cron"], 1):
        where = f"bluegreen_cron, entry {number}"
        name, schedule = str(entry.get("name") or ""), str(entry.get("schedule") or "")
        command = _commands.words(entry.get("command"), f"{where}: command", problems)
        problems.unless(_WORKER.match(name), f"{where}: name is {show(name)}; a lower-case letter and up to 15 letters and digits are expected.")
        problems.unless(
            _SCHEDULE.match(schedule), f"{where}: schedule is {show(schedule)}; five fields as in crontab(5), or @daily and the like, are expected."
        )
        problems.unless(command, f"{where} has no command.")
        problems.unless(entry["scope"] == "fleet", f"{where}: scope is host, and an engine starts it once in the cluster; write scope: fleet.")
        found.append(Cron(name, schedule, command))
    _once("bluegreen_cron", [cron.name for cron in found], problems)
    return tuple(found)


def _once(variable: str, names: list[str], problems: Problems) -> None:
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.found.append(f"{variable}: {name} is there twice; take one out.")


def _configuration(values: Mapping[str, Any], problems: Problems) -> tuple[tuple[_paths.ConfigFile, bool], ...]:
    """The files with their absolute paths, and whether each is secret."""
    folder = values["image_dir"]
    problems.unless(
        folder.startswith("/") and ".." not in folder.split("/"), f"bluegreen_image_dir is {show(folder)}; an absolute path without '..' is expected."
    )
    entries = [{**entry, "dest": str(entry["dest"]).lstrip("/")} if entry.get("dest") is not None else entry for entry in values["config_files"]]
    secret = {str(entry["dest"]): bool(entry.get("secret")) for entry in values["config_files"] if entry.get("dest") is not None}
    found = _paths.config_files({"config_files": entries}, Layout(), problems)
    absolute = {posixpath.normpath(dest.lstrip("/")): (dest.startswith("/"), kept) for dest, kept in secret.items()}
    placed = []
    for file in found:
        is_absolute, kept = absolute[file.dest]
        placed.append((replace(file, dest=f"/{file.dest}" if is_absolute else posixpath.join(folder, file.dest)), kept))
    return tuple(placed)
