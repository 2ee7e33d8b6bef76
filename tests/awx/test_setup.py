"""setup.yml: what it makes in AWX. Every day its lists are held against the files; in make test-full the modules of awx.awx run it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.awx.jobs import PROJECT
from tests.awx.standin import Standin, serving
from tools import bed as beds
from tools import galaxy

# What AWX takes for a playbook, in its older and stricter form (awx/main/utils/ansible.py).
PLAYBOOK = re.compile(r"^\s*?-?\s*?(?:hosts|include|import_playbook):\s*?.*?$", re.M)
SETUP: dict[str, Any] = yaml.safe_load((PROJECT / "setup.yml").read_text())[0]["vars"]
LISTED = {path.name for path in PROJECT.glob("*.yml") if PLAYBOOK.search(path.read_text())}
WORKFLOW = "shop release, check, approve, finish"


def test_awx_lists_every_playbook_file_and_there_is_a_template_for_each() -> None:
    templates = {f"{template['name']}.yml" for template in SETUP["setup_templates"]}
    assert templates | {"setup.yml"} == LISTED
    assert {path.name for path in PROJECT.glob("*.yml")} - LISTED == {"setup_vars.yml"}


def test_every_survey_belongs_to_a_template_or_to_the_workflow() -> None:
    asked = {template["name"] for template in SETUP["setup_templates"] if template.get("survey")}
    assert {path.stem for path in (PROJECT / "surveys").glob("*.json")} == asked | {"workflow"}


def test_every_node_leads_to_one_that_is_there_and_every_failure_before_the_end_leads_back() -> None:
    nodes = {node["name"]: node for node in SETUP["setup_nodes"]}
    assert {other for node in nodes.values() for how in ("success", "failure") for other in node.get(how, [])} == nodes.keys() - {"before"}
    assert nodes.keys() - {"approve"} <= {template["name"] for template in SETUP["setup_templates"]}
    back = {name for name, node in nodes.items() if node.get("failure") == ["rollback"]}
    assert back == {"release", "check", "approve"}, "finish has nothing to go back from: the new release serves"


def awx_collection() -> Path:
    """A collections path with awx.awx alone; kept below build."""
    return galaxy.only("awx.awx", beds.BUILD / "awx")


def set_up(standin: Standin, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(beds.PYTHON).parent / "ansible-playbook"), str(PROJECT / "setup.yml"), "-e", f"@{PROJECT}/setup_vars.yml", *words]
    reached = {"CONTROLLER_HOST": f"http://127.0.0.1:{standin.port}", "CONTROLLER_OAUTH_TOKEN": "token", "ANSIBLE_COLLECTIONS_PATH": str(awx_collection())}
    return subprocess.run(command, env=beds.environment(**reached), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.full
def test_the_set_up_makes_all_of_it_and_a_second_run_changes_nothing() -> None:
    standin = Standin(tuple(LISTED))
    standin.add("organizations", {"name": "Default"})
    for name in ("shop-ssh", "hub"):
        standin.add("credentials", {"name": name})
    image = {"awx_execution_environment": "shop-ee", "awx_execution_environment_image": "example/shop-ee", "awx_galaxy_credentials": ["hub"]}
    with serving(standin):
        first = set_up(standin, "-e", json.dumps(image))
        assert first.returncode == 0, first.stdout + first.stderr
        changes = list(standin.changes)
        second = set_up(standin, "-e", json.dumps(image))
    assert second.returncode == 0, second.stdout + second.stderr
    assert standin.changes == changes, "the second run has only asked"
    assert " changed=0 " in second.stdout

    release = standin.named("job_templates", "shop release")
    assert (release["playbook"], release["become_enabled"], release["allow_simultaneous"], release["timeout"]) == ("release.yml", True, False, 7200)
    assert release["ask_limit_on_launch"] and release["survey_enabled"]
    assert [one["name"] for one in standin.linked(release, "credentials")] == ["shop-ssh"]
    assert release["execution_environment"] == standin.named("execution_environments", "shop-ee")["id"]
    assert [one["name"] for one in standin.linked(standin.named("organizations", "Default"), "galaxy_credentials")] == ["hub"]
    for template in standin.objects["job_templates"]:
        survey = PROJECT / "surveys" / f"{template['name'].removeprefix('shop ')}.json"
        assert standin.surveys.get(template["id"]) == (json.loads(survey.read_text()) if survey.exists() else None)
    workflow = standin.named("workflow_job_templates", WORKFLOW)
    assert [question["variable"] for question in standin.surveys[workflow["id"]]["spec"]] == ["bluegreen_release"]
    nodes = {node["identifier"]: node for node in standin.objects["workflow_job_template_nodes"]}
    leads = {name: [{other["identifier"] for other in standin.linked(node, how)} for how in ("success_nodes", "failure_nodes")] for name, node in nodes.items()}
    assert leads == {
        "before": [{"release"}, set()],
        "release": [{"check"}, {"rollback"}],
        "check": [{"approve"}, {"rollback"}],
        "approve": [{"finish"}, {"rollback"}],
        "finish": [set(), set()],
        "rollback": [{"failed"}, set()],
        "failed": [set(), set()],
    }
    approval = standin.objects["workflow_approval_templates"]
    assert [(one["name"], one["timeout"]) for one in approval] == [("shop approve", 3600)]


@pytest.mark.full
def test_a_credential_that_awx_does_not_have_is_named_and_no_template_is_made() -> None:
    standin = Standin(tuple(LISTED))
    standin.add("organizations", {"name": "Default"})
    with serving(standin):
        done = set_up(standin)
    assert done.returncode != 0
    assert "shop-ssh" in done.stdout
    assert "job_templates" not in standin.objects
