"""A shop on Kubernetes, for tests without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_names import Offer
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._kubernetes_plan import Plan, plan
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Cron, File, Service, Worker

SHOP = Service(name="shop", release="7", image="registry.example/shop:7", environment={"PORT": "8080", "TOKEN": "se-cret"}, drain_pause=5)
OLD, NEW = Offer("policy/v1beta1", "batch/v1beta1", 20), Offer("policy/v1", "batch/v1", 30)
WITH_FILES = replace(SHOP, files=(File("/app/a.conf", b"a"), File("/app/key", b"pri-vate", 0o400, secret=True)))
WITH_COMPANIONS = replace(
    SHOP,
    workers=(Worker("mail", ("app", "mail")), Worker("agent", ("app", "agent"), "host"), Worker("clock", ("app", "clock"), "fleet", stop_timeout=90)),
    crons=(Cron("tidy", "0 3 * * *", ("app", "tidy")),),
)


def part(wished: Plan, kind: str, name: str = "shop") -> dict[str, Any]:
    """The manifest of this kind and name."""
    (found,) = (one for one in (*wished.rollout(), *wished.followers()) if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def pod_of(service: Service, offered: Offer = OLD) -> dict[str, Any]:
    """The spec of the pods that serve."""
    spec: dict[str, Any] = part(plan(service, offered), "Deployment")["spec"]["template"]["spec"]
    return spec


def container_of(service: Service, offered: Offer = OLD) -> dict[str, Any]:
    container: dict[str, Any] = pod_of(service, offered)["containers"][0]
    return container
