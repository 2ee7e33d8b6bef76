"""The pages and examples of the engines: their variables make a service, the rights are those that the driver needs, what they share is the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _variables
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines import _kubernetes_rules, _resolve
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._engines._service import Service

from tests.docs import pages
from tests.docs.pages import ROOT
from tests.examples.project import EXAMPLES, PLAYBOOK, run, variables

ENGINES = ("swarm", "kubernetes")
PAGES = ("engines", "engines-swarm", "engines-kubernetes")


def examples(page: str) -> list[Any]:
    """What the page's blocks of YAML say."""
    return [found for block in pages.blocks(ROOT / "docs" / f"{page}.md") if block.language == "yaml" for found in yaml.safe_load_all(block.text)]


def filled(value: Any) -> Any:
    """A reader's own in the place of templates."""
    if isinstance(value, dict):
        return {key: filled(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return list(map(filled, value))
    return re.sub(r"\{\{ *(\w+).*?\}\}", r"\1", value) if isinstance(value, str) else value


def service(given: dict[str, Any]) -> Service:
    """What the variables make, with what the page's other blocks have said."""
    engine = "swarm" if "bluegreen_swarm" in given else "kubernetes"
    whole = {"bluegreen_engine": engine, "bluegreen_service": "shop", "bluegreen_image": "shop", "bluegreen_release": "1", **given}
    values = _variables.collect(whole, filled, _variables.ENGINE)
    return _resolve.resolve(values, _variables.given(whole, filled))[0]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_variables_makes_a_service(page: str) -> None:
    blocks = [example for example in examples(page) if isinstance(example, dict) and any(str(key).startswith("bluegreen_") for key in example)]
    assert blocks
    for block in blocks:
        assert service(block).image.startswith(("shop", "registry.example/shop"))


def test_the_rights_on_the_page_are_those_that_the_driver_needs() -> None:
    (role,) = [example for example in examples("engines-kubernetes") if isinstance(example, dict) and example.get("kind") == "Role"]
    assert role["rules"] == [dict(rule) for rule in _kubernetes_rules.RULES]


def test_the_manifests_of_the_other_controllers_name_their_own_kinds() -> None:
    kinds = {example["kind"]: example["apiVersion"] for example in examples("engines-kubernetes") if isinstance(example, dict) and "kind" in example}
    assert kinds == {"Role": "rbac.authorization.k8s.io/v1", "Rollout": "argoproj.io/v1alpha1", "Canary": "flagger.app/v1beta1"}


@pytest.mark.parametrize("engine", ENGINES)
def test_an_example_has_all_that_a_release_needs_and_no_secret_of_its_own(engine: str) -> None:
    given = variables(engine)
    assert given["bluegreen_engine"] == engine
    assert service(given).image == "registry.example/greeter:1"
    assert [entry["content"] for entry in given["bluegreen_config_files"]] == ["{{ vault_greeter_token }}"]


def test_both_examples_run_the_same_application() -> None:
    one, other = (EXAMPLES / engine / "app" / "server.py" for engine in ENGINES)
    assert one.read_text() == other.read_text()


def test_an_image_for_swarm_has_a_health_check_and_each_says_its_stop_signal() -> None:
    texts = {engine: Path(EXAMPLES / engine / "app" / "Dockerfile").read_text() for engine in ENGINES}
    assert all("STOPSIGNAL SIGTERM" in text for text in texts.values())
    assert "HEALTHCHECK" in texts["swarm"] and "HEALTHCHECK" not in texts["kubernetes"]


def test_ansible_reads_playbooks_and_inventories_of_both() -> None:
    inventories = [word for engine in ENGINES for word in ("-i", str(EXAMPLES / engine / "inventory"))]
    books = [str(EXAMPLES / engine / "release.yml") for engine in ENGINES]
    done = run(PLAYBOOK, *inventories, *books, "--syntax-check")
    assert all(f"playbook: {book}" in done.stdout for book in books)
    assert not re.search("WARN|ERROR", done.stderr), done.stderr
