"""The exporter through ansible-playbook, read by the real node_exporter and Prometheus: from a release to an alert that fires."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

FILES = Path(__file__).resolve().parents[2] / "roles" / "monitoring" / "files"
RELEASE: dict[str, Any] = {name.removeprefix("bluegreen_"): value for name, value in plays.RELEASE.items()}
NOBODY = 65534


class Host(beds.Bed):
    """A bed with a directory for cron and one for node_exporter."""

    def __enter__(self) -> Host:
        for name in ("cron", "textfiles"):
            (self.path / name).mkdir()
        self.variables |= {"bluegreen_cron_dir": f"{self.path}/cron", "bluegreen_monitoring_textfile_dir": f"{self.path}/textfiles"}
        super().__enter__()
        return self

    @property
    def textfile(self) -> Path:
        return self.path / "textfiles" / "bluegreen_shop.prom"

    def exported(self, name: str, **labels: str) -> list[float]:
        """The values of a metric, of the samples with these labels."""
        rows = [re.match(rf"{name}{{(.*)}} (\S+)$", line) for line in self.textfile.read_text().splitlines()]
        return [float(row[2]) for row in rows if row and all(f'{key}="{value}"' in row[1] for key, value in labels.items())]

    def minute(self) -> None:
        """What cron does each minute, by its very line."""
        line = (self.path / "cron" / "bluegreen_metrics-shop").read_text().splitlines()[-1]
        subprocess.run(["/bin/sh", "-c", line.split(maxsplit=6)[6]], check=True, env={"PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, timeout=60)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with beds.temporary(Host) as host:
        yield host


@contextlib.contextmanager
def daemon(*command: str, folder: Path) -> Iterator[None]:
    """A server that is nobody's, if we are root, and ends with the block."""
    user: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={"GOMAXPROCS": "1"}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **user)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Prometheus:
    """The real one, on this machine."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def _get(self, path: str) -> Any:
        with contextlib.suppress(OSError, ValueError), urllib.request.urlopen(f"{self._url}/{path}", timeout=5) as answer:
            return json.load(answer)["data"]
        return {}

    def query(self, expression: str) -> list[Mapping[str, str]]:
        """The labels of what the expression finds now."""
        found = self._get(f"query?{urllib.parse.urlencode({'query': expression})}")
        return [row["metric"] for row in found.get("result", [])]

    def firing(self, name: str) -> list[Mapping[str, str]]:
        found = self._get("alerts").get("alerts", [])
        return [alert["labels"] for alert in found if alert["labels"]["alertname"] == name and alert["state"] == "firing"]


def dashboard() -> list[str]:
    """Every query of the dashboard, as Grafana sends it for our service."""
    board = json.loads((FILES / "bluegreen.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [note["expr"] for note in board["annotations"]["list"]]
    return [expression.replace("$service", "shop").replace("$__range", "1m") for expression in asked]


@contextlib.contextmanager
def prometheus(host: Host) -> Iterator[Prometheus]:
    """Both programs over the host's textfiles, every half second, with the rules as they are but for how long an alert waits."""
    exporter, port = beds.free_ports(2)
    folder = host.path / "prometheus"
    folder.mkdir()
    (folder / "rules.yml").write_text(re.sub(r"for: \d+m", "for: 1s", (FILES / "bluegreen.rules.yml").read_text()))
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    textfiles = ("--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={host.textfile.parent}")
    storage = ("--config.file=prometheus.yml", "--storage.tsdb.path=data")
    with (
        daemon("/usr/bin/prometheus-node-exporter", *textfiles, f"--web.listen-address=127.0.0.1:{exporter}", folder=folder),
        daemon("/usr/bin/prometheus", *storage, f"--web.listen-address=127.0.0.1:{port}", folder=folder),
    ):
        yield Prometheus(port)


def test_install_brings_the_exporter_when_it_is_told_to(host: Host) -> None:
    result = host.playbook("hotswap.bluegreen.install", monitoring=True)
    assert result.returncode == 0, result.stdout
    assert host.exported("bluegreen_member_info", release="") == [1, 1]


def test_a_release_is_in_prometheus_at_once_and_a_member_that_dies_raises_the_alert(host: Host) -> None:
    result = host.playbook("hotswap.bluegreen.release", **RELEASE)
    assert result.returncode == 0, result.stdout
    beds.wait_until(lambda: host.exported("bluegreen_lock_held") == [0] and host.exported("bluegreen_releases_total") == [1], 30, "the end in the textfile")

    with prometheus(host) as there:
        members = beds.wait_until(lambda: there.query("bluegreen_member_info"), 30, "a scrape")
        assert {(labels["member"], labels["release"]) for labels in members} == {("app1/blue", "v1"), ("app1/green", "v1")}
        steps = {labels["step"] for labels in there.query("bluegreen_swap_step_seconds")}
        assert {"point", "start", "check", "enable"} <= steps
        assert there.query("time() - bluegreen_last_success_timestamp_seconds < 120")
        assert there.firing("BluegreenMemberDown") == []

        host.supervisorctl("stop", "shop-blue")
        host.minute()
        fired = beds.wait_until(lambda: there.firing("BluegreenMemberDown"), 30, "the alert")
        assert [(labels["service"], labels["member"], labels["severity"]) for labels in fired] == [("shop", "app1/blue", "critical")]

        nothing = {expression for expression in dashboard() if not there.query(expression)}
        assert nothing == {'max(bluegreen_last_failure_timestamp_seconds{service="shop"} > 0) * 1000'}, "nothing has failed, and all else is there"


def test_its_own_playbook_finds_nothing_to_do_and_the_role_takes_it_away_to_nothing(host: Host) -> None:
    role = {"role": "hotswap.bluegreen.monitoring", "vars": {"bluegreen_monitoring_state": "absent"}}
    plays_of_it = [{"import_playbook": "hotswap.bluegreen.monitoring"}, {"hosts": "all", "gather_facts": False, "roles": [role]}]
    (host.path / "site.json").write_text(json.dumps(plays_of_it))

    result = host.playbook(f"{host.path}/site.json")
    assert result.returncode == 0, result.stdout
    assert plays.changed(result) == 1
    assert "TASK [hotswap.bluegreen.monitoring : Install the exporter of the service's metrics, or take it away]" in result.stdout
    assert [str(path) for path in host.path.rglob("*") if "monitoring" in path.name or "metrics" in path.name or path.suffix == ".prom"] == []
