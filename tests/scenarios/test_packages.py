"""Before nginx and supervisor are there: a check says what would come, and nothing is changed."""

from __future__ import annotations

from pathlib import Path

from tools.bed import Bed


def test_a_check_on_a_bare_host_says_what_would_be_installed_and_changes_nothing(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "bare")
    bed.path.mkdir()
    checked = bed.playbook("hotswap.bluegreen.install", "--check", "--diff", packages=True, nginx_command="/nonexistent/nginx")
    assert checked.returncode == 0, checked.stdout
    assert "nginx and supervisor will be installed with apt" in checked.stdout or "nginx will be installed with apt" in checked.stdout
    assert f"+++ after: {bed.path}/programs/shop-blue.conf" in checked.stdout
    assert f"+++ after: {bed.path}/conf.d/bluegreen-shop.conf" in checked.stdout
    assert sorted(path.name for path in bed.path.iterdir()) == ["inventory", "variables.json"]


def test_without_packages_the_missing_supervisor_is_named(tmp_path: Path) -> None:
    bed = Bed(tmp_path / "bare")
    bed.path.mkdir()
    refused = bed.playbook("hotswap.bluegreen.install")
    assert refused.returncode != 0
    assert f"supervisor: its configuration {bed.path}/supervisord.conf is not there. Install supervisor" in refused.stdout
    assert not (bed.path / "srv").exists()
