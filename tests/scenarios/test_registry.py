"""The registry examples, with real releases: when each member leaves and rejoins, and where the token is seen.

Consul and Nacos cannot be had here: a server that records what it is asked stands for them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from tools import bed as beds

from . import plays

EXAMPLES = Path(__file__).parents[2] / "examples" / "registry"
TOKEN = "only-for-the-registry"


class Registry(ThreadingHTTPServer):
    """Records each request as (path, what was sent, token)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str], str]] = []
        super().__init__(("127.0.0.1", 0), Asked)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Asked(BaseHTTPRequestHandler):
    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        parts = urlsplit(self.path)
        sent = {name: values[0] for name, values in parse_qs(parts.query or body).items()}
        assert isinstance(self.server, Registry)
        self.server.asked.append((parts.path, sent, self.headers.get("X-Consul-Token", sent.pop("accessToken", ""))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *_words: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.full
@pytest.mark.parametrize("name", ["consul", "nacos"])
def test_each_member_leaves_the_registry_before_its_stop_and_is_back_before_it_serves(name: str, registry: Registry) -> None:
    given = yaml.safe_load((EXAMPLES / f"{name}.yml").read_text())
    urls = {"CONSUL_HTTP_ADDR": registry.url, "NACOS_URL": registry.url, "NACOS_IP": "127.0.0.1"}
    environment = {key: urls.get(key, TOKEN if "vault" in value else value) for key, value in given.pop("bluegreen_environment").items()}
    variables = {key.removeprefix("bluegreen_"): value for key, value in {**plays.RELEASE, **given, "bluegreen_environment": environment}.items()}
    with beds.temporary() as bed:
        assert bed.playbook("hotswap.bluegreen.install", **variables).returncode == 0
        first = bed.playbook("hotswap.bluegreen.release", **{**variables, "release": "v1"})
        assert first.returncode == 0, first.stdout
        assert [on(asked) for asked in registry.asked] == [True, True]  # nobody was there to leave
        registry.asked.clear()
        second = bed.playbook("hotswap.bluegreen.release", "-v", **{**variables, "release": "v2"})
        assert second.returncode == 0, second.stdout
        assert [on(asked) for asked in registry.asked] == [False, True, False, True]
        members = [asked[1]["port"] if name == "nacos" else asked[0].rpartition("-")[2] for asked in registry.asked]
        slots = {"green": str(bed.green), "blue": str(bed.blue)}
        expected = list(slots.values()) if name == "nacos" else list(slots)
        assert members == [member for member in expected for _ in range(2)]
        assert {asked[2] for asked in registry.asked} == {TOKEN}
        assert TOKEN not in first.stdout + second.stdout


def on(asked: tuple[str, dict[str, str], str]) -> bool:
    """Whether the member is to be found from now on."""
    return asked[1].get("enabled") == "true" or asked[1].get("enable") == "false"
