"""Before nginx and supervisor are there: a check says what would come, and nothing is changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenarios import plays
from tools.bed import Bed


def test_a_check_on_a_bare_host_says_what_would_be_installed_and_changes_nothing(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "bare")
    bed.path.mkdir()
    checked = bed.playbook("hotswap.bluegreen.install", "--check", "--diff", packages=True, nginx_command="/nonexistent/nginx")
    assert checked.returncode == 0, checked.stdout
    assert "nginx and supervisor will be installed with apt" in checked.stdout or "nginx will be installed with apt" in checked.stdout
    assert f"+++ after: {bed.path}/programs/shop-blue.conf" in checked.stdout
    assert f"+++ after: {bed.path}/conf.d/bluegreen-shop.conf" in checked.stdout
    planned = bed.playbook("hotswap.bluegreen.release", "--check", "--diff", variables={**bed.variables, **plays.RELEASE}, nginx_command="/nonexistent/nginx")
    assert planned.returncode == 0, planned.stdout
    assert "app1: not known before hotswap.bluegreen.install: nginx: the command /nonexistent/nginx is not there." in planned.stdout
    assert "app1/green  enable" in planned.stdout
    assert sorted(path.name for path in bed.path.iterdir()) == ["inventory", "variables.json"]


@pytest.mark.full
@pytest.mark.parametrize("playbook", ["install", "release"])
def test_a_check_by_a_user_who_may_not_write_there_says_so_and_changes_nothing(tmp_path: Path, playbook: str) -> None:
    other = {"ansible_become": True, "ansible_become_method": "su", "ansible_become_user": "nobody", "ansible_become_flags": "-s /bin/sh"}
    service = {
        "bluegreen_service": "nobodys",
        "bluegreen_slots": [{"name": "one", "port": 19999}],
        "bluegreen_listen": "127.0.0.1:19998",
        "bluegreen_min_serving": 0,
        **plays.RELEASE,
    }
    host = {"ansible_python_interpreter": "/usr/bin/python3", "ansible_remote_tmp": "/tmp", **(other if os.geteuid() == 0 else {})}
    checked = plays.run(tmp_path / "plays", f"hotswap.bluegreen.{playbook}", {"app1": host}, service, "--check", "--diff", ANSIBLE_PIPELINING="1")
    assert checked.returncode == 2, checked.stdout
    (told,) = plays.failures(checked).values()
    assert "no permission to write /srv. Use become, or give this user the directory." in told.splitlines()
    assert "Nothing was changed." in told
    assert not Path("/srv/nobodys").exists()


def test_without_packages_the_missing_supervisor_is_named(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "bare")
    bed.path.mkdir()
    refused = bed.playbook("hotswap.bluegreen.install")
    assert refused.returncode != 0
    assert f"supervisor: its configuration {bed.path}/supervisord.conf is not there. Install supervisor" in refused.stdout
    assert not (bed.path / "srv").exists()
