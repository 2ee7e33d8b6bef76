# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of each variable on each engine: said once, here. The preflight refuses by it, and docs/engines.md shows it. Pure.

Every variable of the argument spec is in exactly one row (tests/unit/engines/test_mapping.py).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

SWARM, KUBERNETES = "swarm", "kubernetes"
TITLES = {SWARM: "Docker Swarm", KUBERNETES: "Kubernetes"}


@dataclass(frozen=True)
class Cell:
    """What one engine makes of a variable. ``how`` is ``as`` (mapped), ``left`` (it has no meaning there, and may stay set) or ``no`` (refused)."""

    how: str
    text: str

    @property
    def shown(self) -> str:
        """The cell for the documentation."""
        return {"as": self.text, "left": f"not used: {self.text}", "no": f"**refused**: {self.text}"}[self.how]


@dataclass(frozen=True)
class Row:
    """Variables that share their fate; names without the prefix."""

    names: tuple[str, ...]
    swarm: Cell
    kubernetes: Cell

    def of(self, engine: str) -> Cell:
        return self.swarm if engine == SWARM else self.kubernetes


def _as(names: str, swarm: str, kubernetes: str = "") -> Row:
    return Row(tuple(names.split()), Cell("as", swarm), Cell("as", kubernetes or swarm))


def _left(names: str, text: str) -> Row:
    return Row(tuple(names.split()), Cell("left", text), Cell("left", text))


def _no(names: str, text: str) -> Row:
    return Row(tuple(names.split()), Cell("no", text), Cell("no", text))


_HOST = "there are no slots and no supervisor"
_FRONT = "requests are shared by the engine, or by bluegreen_swarm: nginx"
_ROLLOUTS = "use Argo Rollouts or Flagger there (docs/engines.md has an example)"

TABLE: tuple[Row, ...] = (
    _as("service", "name of the service, and label of all that belongs to it", "name of the Deployment and its Service, and label of all that belongs to it"),
    _as("release", "the image's tag, if `bluegreen_image` has none; a label, and BLUEGREEN_RELEASE in the environment"),
    _as("engine", "which controller rolls the release out"),
    _as("image", "image of the service; the digest that it had is in the report", "the container's image; the digest that it had is in the report"),
    _as("command", "command of the task; without it the image's own", "command of the container; without it the image's own"),
    _as("replicas", "replicas"),
    _as("ports", "PORT and PORT_<NAME> in the environment; `bluegreen_swarm: publish` opens them", "ports of the container and of the Service"),
    _as("environment", "env of the task, which managers can read: a secret belongs into `bluegreen_config_files`", "a Secret, named by its content"),
    _as("config_files", "docker configs, with `secret` docker secrets, named by their content", "ConfigMaps, with `secret` Secrets, named by their content"),
    _as("image_dir", "the directory in the image that relative paths of `bluegreen_config_files` are below"),
    _as("resources", "reservations and limits", "requests and limits"),
    _as("swarm", "options of Docker Swarm alone", "of Docker Swarm alone"),
    _as("kubernetes", "of Kubernetes alone", "options of Kubernetes alone"),
    _as("user", "user of the task", "runAsUser, a number"),
    _as("group", "the inventory group; its first host acts, a manager", "the inventory group; its first host acts, with a kubeconfig"),
    Row(
        ("health_path", "health_port"),
        Cell("as", "not asked by Swarm: `bluegreen_swarm: healthcheck`, or the image's own HEALTHCHECK, is"),
        Cell("as", "readiness, liveness and startup probe"),
    ),
    Row(
        ("health_status",),
        Cell("left", "the health check's command decides"),
        Cell("as", "200 to 399 is what a probe takes for good: another status is refused"),
    ),
    _as("health_timeout health_interval", "timeout and interval of the health check", "timeoutSeconds and periodSeconds, in whole seconds"),
    _as("health_successes", "one right answer is enough for Swarm", "successThreshold of the readiness probe"),
    Row(
        ("health_body", "health_header"),
        Cell("no", "Swarm asks a command: let bluegreen_swarm: healthcheck look at the answer"),
        Cell("no", "a probe looks at the status alone: let the path answer 503 instead"),
    ),
    Row(
        ("health_request_headers",),
        Cell("no", "Swarm asks a command: let bluegreen_swarm: healthcheck send them"),
        Cell("as", "httpHeaders of the probes"),
    ),
    _as("boot_timeout", "start_period of the health check", "the startup probe's time, and progressDeadlineSeconds"),
    _as(
        "drain_timeout",
        "seconds of stop_grace_period on top of the stop timeout: a task is told to stop when it leaves, so the application itself ends what it serves",
        "seconds of terminationGracePeriodSeconds on top of the stop timeout; up to 5 of them are the preStop pause",
    ),
    _as("stop_timeout", "seconds of stop_grace_period", "seconds of terminationGracePeriodSeconds"),
    _as("stop_grace", "checked against the stop timeout"),
    Row(("stop_signal",), Cell("as", "stop_signal"), Cell("as", "TERM, or what the image's STOPSIGNAL says; another one is refused")),
    _as("watch", "monitor of the update, 5 s if not set", "minReadySeconds, 5 s if not set"),
    _as("serial", "parallelism: how many new tasks are started before as many old ones go", "maxSurge; maxUnavailable is 0"),
    _as("min_serving", "no task goes before its successor serves: more than replicas is refused", "maxUnavailable 0; the budget lets one replica go at a time"),
    _as(
        "on_failure",
        "`fleet`, the default here: failure_action rollback; `stop`: pause; `host` is refused",
        "`fleet`, the default here: back to the former ReplicaSet; `stop`: left as it is; `host` is refused",
    ),
    _as("before_release after_release on_rollback", "run on the play's first host, or on the controller"),
    Row(
        ("migrate",),
        Cell("as", "a task of the new image, once for the release, before the update"),
        Cell("as", "a Job of the new image, once for the release, before the rollout"),
    ),
    _no("migrate_down", "the engine goes back by itself: migrate so that the former release can work with it (docs/migrations.md)"),
    _no("before_stop after_start after_enable", "the engine replaces replicas and asks nobody; use health checks, and what the application does at SIGTERM"),
    _as(
        "workers",
        "services of their own, updated when the release serves: `slot` as many as replicas, `host` global, `fleet` one, stopped before the next starts",
        "Deployments of their own: `slot` as many as replicas, `host` a DaemonSet, `fleet` one with Recreate",
    ),
    Row(
        ("cron",),
        Cell("no", "Swarm has no clock: use a worker that has one, or cron on a host with docker exec"),
        Cell("as", "CronJobs with concurrencyPolicy Forbid; `scope: host` is refused"),
    ),
    _left("workers_absent", "the engine knows its nodes"),
    _as("keep_releases", "releases whose description, configs and secrets are kept", "revisionHistoryLimit"),
    _as("rollback_to", "a release of the history"),
    _as("lock_timeout", "a config of Swarm is the lock", "a Lease is the lock"),
    _as("unlock_reason", "why the lock is broken"),
    _as("report_dir notify", "as on hosts"),
    _as("probe probe_url probe_on probe_limit probe_release probe_down", "as on hosts"),
    _as("window window_override config_checks", "as on hosts"),
    _as("status_format expect", "as on hosts"),
    Row(
        ("strategy",),
        Cell("as", f"rolling; blue_green, canary and reload are refused: {_ROLLOUTS.replace('there', 'on Kubernetes')}"),
        Cell("as", f"rolling, or blue_green by two Deployments and one change of the Service; canary and reload are refused: {_ROLLOUTS}"),
    ),
    Row(
        ("preview", "smoke"),
        Cell("no", f"there is no place before clients where testers could look: {_ROLLOUTS.replace('there', 'on Kubernetes')}"),
        Cell("no", "no balancer of ours is in the cluster that could ask the new pods: let bluegreen_health_path answer 200 only when they can serve"),
    ),
    Row(
        ("keep_old", "old"),
        Cell("left", "of strategies that Swarm has not"),
        Cell("as", "as on hosts, with blue_green: how long the pods of the former side stay; there is no limit, abort or promote"),
    ),
    _left("canary canary_seconds canary_requests canary_by_hand canary_no_traffic", "of strategies that are hosts' own"),
    _left("canary_max_errors canary_max_slowdown canary_judges canary_sticky promote_to", "of strategies that are hosts' own"),
    _no("max_failed max_slowdown error_logs max_memory max_load", "the engine rolls, and judges by the health check alone; bluegreen_probe still counts"),
    _no("shared_paths", "what outlives a release is a volume: bluegreen_swarm: service: mounts, or bluegreen_kubernetes: pod and container"),
    _left("writable_paths", "the image decides"),
    _left("source build build_in build_timeout", "the image is the release"),
    _left("root slots address adopt protocols start_seconds autorestart stop_as_group kill_as_group", _HOST),
    _left("log_dir log_max_bytes log_backups supervisor_config supervisor_socket supervisor_program_dir packages cron_dir", _HOST),
    _as("runtime", "brings the stop signal and timeouts, as on hosts"),
    _left("reload_signal reload_timeout release_shown", "of a strategy that is hosts' own"),
    _no("drain_signal drain_url", "an engine tells a replica nothing but its stop signal: let the application send its clients away then"),
    _left("drain_method drain_headers drain_window long_drain_timeout on_drain_timeout", "of draining by a signal or a URL"),
    _left("balancers local_balancer balancers_absent max_unreachable", _FRONT),
    _left("server listen server_name tls_certificate tls_key body_size server_extra location cookie_path access_log", _FRONT),
    _left("proxy_connect_timeout proxy_read_timeout proxy_send_timeout next_upstream upstream_keepalive upstream_idle upstream_max_fails", _FRONT),
    _left("nginx_command nginx_config nginx_conf_dir nginx_state_dir nginx_pid_file nginx_error_log nginx_reload_command", _FRONT),
    _left("monitoring monitoring_state monitoring_by monitoring_textfile_dir environment_kind", "the engine's own metrics tell"),
    _left("members reason", "of maintenance, which is the engine's: docker node update --availability drain, kubectl drain"),
)  # fmt: skip


def row(name: str) -> Row:
    """The row of a variable, named without the prefix."""
    return next(row for row in TABLE if name in row.names)


def refusals(engine: str, given: Collection[str]) -> list[str]:
    """A sentence for each variable that the user has set and the engine cannot do."""
    cells = [(name, row(name).of(engine)) for name in sorted(given)]
    return [f"bluegreen_{name} cannot be done on {TITLES[engine]}: {cell.text}. Take it away for this engine." for name, cell in cells if cell.how == "no"]


def table() -> str:
    """The whole of it as Markdown, for docs/engines.md."""
    lines = ["| variable | Docker Swarm | Kubernetes |", "| --- | --- | --- |"]
    for row in TABLE:
        names = ", ".join(f"`bluegreen_{name}`" for name in row.names)
        lines.append(f"| {names} | {row.swarm.shown} | {row.kubernetes.shown} |")
    return "\n".join(lines)
