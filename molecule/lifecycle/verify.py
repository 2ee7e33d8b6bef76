"""A release from its migration to the removal of old ones, and back, on a balancer and two app hosts with two slots each. In this order."""

from __future__ import annotations

import itertools

import pytest
from scene import Scene

OF_A_MEMBER = ["before_stop", "after_start", "after_enable"]


def told(scene: Scene) -> dict[str, list[str]]:
    """What hooks and migrations have said on each app host since it was asked the last time."""
    script = "cd /srv/shop/shared/told && cat lines 2>/dev/null && : > lines || true"
    return {app: scene.fleet[app].sh(script).stdout.splitlines() for app in scene.apps}


def settings(scene: Scene) -> dict[str, str]:
    """The configuration that each member has, which nobody else may read."""
    found = {}
    for member in scene.members:
        app, slot = member.split("/")
        text = scene.fleet[app].sh(f"cd /srv/shop/{slot}/current/etc && stat -c '%a %U' settings.ini && cat settings.ini").stdout
        mode, _, content = text.partition("\n")
        assert mode == "600 www-data"
        assert f"host = {app}" in content
        found[member] = content.split(",")[0].rpartition(" ")[2]
    return found


def turns(scene: Scene, name: str = "scheduler") -> list[tuple[float, float, str, str]]:
    """When the singleton worked: from, to, where, in which release. Who works now has no end."""
    begun: dict[tuple[str, str], tuple[float, str]] = {}
    found = []
    for app in scene.apps:
        for line in scene.fleet[app].sh(f"cat /srv/shop/shared/ledger/{name} 2>/dev/null || true").stdout.splitlines():
            _, release, pid, what, stamp = line.split()
            if what == "begin":
                begun[app, pid] = (float(stamp), release)
            else:
                since, ran = begun.pop((app, pid))
                found.append((since, float(stamp), app, ran))
    found += [(since, float("inf"), app, release) for (app, _pid), (since, release) in begun.items()]
    return sorted(found)


def alone(scene: Scene) -> tuple[str, str]:
    """The singleton never worked twice at a time; where it works now, and in which release."""
    every = turns(scene)
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(every)), f"two at a time: {every}"
    assert every[-1][1] == float("inf"), f"it does not work: {every}"
    crons = [app for app in scene.apps if "cron:tidy" in scene.fleet[app].sh("cat /etc/cron.d/bluegreen-shop 2>/dev/null || true").stdout]
    assert len(crons) == 1, crons
    return every[-1][2:]


def whole(scene: Scene, release: str) -> None:
    """Code, configuration, workers: all on this release."""
    scene.whole(release)
    assert set(settings(scene).values()) == {release}
    assert alone(scene)[1] == release
    assert sorted((app, ran) for _, end, app, ran in turns(scene, "mail") if end == float("inf")) == sorted([(app, release) for app in scene.apps] * 2)


def test_a_release_migrates_once_runs_its_hooks_and_brings_configuration_and_workers_with_it(scene: Scene) -> None:
    first = told(scene)
    assert [line for lines in first.values() for line in lines if line.startswith("migrate")] == ["migrate v1 after nothing"]
    whole(scene, "v1")
    with scene.load():
        scene.release("v2").good()
    whole(scene, "v2")
    for app, lines in told(scene).items():
        of_members = [f"{moment} {slot} v2" for slot in ("green", "blue") for moment in OF_A_MEMBER]
        migrated = ["migrate v2 after v1"] if app == "app1" else []
        assert lines == ["before_release v2", *migrated, *of_members, "after_release v2"]


def test_a_migration_that_fails_ends_the_release_with_nothing_swapped_and_is_run_again_only_until_it_succeeds(scene: Scene) -> None:
    before = scene.pids(scene.look())
    run = scene.release("v3", migrate="echo half of it >> told/lines; exit 7").bad("app1")
    run.says("ends with 0 within 3600 s", "it ended with exit status 7", "No member was touched.")
    assert scene.pids(scene.look()) == before
    assert alone(scene)[1] == "v2"
    told(scene)


def test_a_rollback_brings_code_configuration_and_workers_back_and_warns_of_the_migration(scene: Scene) -> None:
    run = scene.run("rollback").good()  # v3 was begun, and not completed
    run.says("shop runs release v2 on every member already", "there is nothing to go back from")
    with scene.load():
        run = scene.run("rollback", bluegreen_rollback_to="v1").good()
    run.says("the migration of release v2 is not taken back")
    whole(scene, "v1")
    for lines in told(scene).values():
        assert lines[-1] == "on_rollback v1 from v2"
        assert not any(line.startswith(("migrate", "after_release")) for line in lines)
    with scene.load():
        scene.release("v2").good()
    whole(scene, "v2")
    assert not any(line.startswith("migrate") for lines in told(scene).values() for line in lines)


def test_a_member_in_maintenance_is_left_alone_by_a_release_shown_by_status_and_comes_back_to_the_live_release(scene: Scene) -> None:
    with scene.load():
        scene.run("drain", bluegreen_members="app1/blue", bluegreen_reason="a look at its memory").good()
        scene.release("v4").good().says("in maintenance", "a look at its memory")
        assert scene.releases() == {"app1/blue": "v2", "app1/green": "v4", "app2/blue": "v4", "app2/green": "v4"}
        assert [member for member in scene.members if member not in scene.look()["lb1"]["serving"]] == ["app1/blue"]
        scene.run("status").good().says("a look at its memory")
        scene.run("enable", bluegreen_members="app1/blue").good()
    whole(scene, "v4")
    told(scene)


def test_status_says_what_runs_where_and_changes_nothing(scene: Scene) -> None:
    script = "find /srv/shop /etc/nginx /etc/supervisor -not -path '*/log/*' -not -path '*/told*' -not -path '*/ledger*' -printf '%p %T@ %m\\n' | sort"
    before = scene.everywhere(lambda host: scene.fleet[host].sh(script + " 2>/dev/null || true").stdout)
    run = scene.run("status").good()
    assert run.changed == 0
    assert all(member.replace("/", " ").split()[0] in run.output for member in scene.members)
    assert "v4" in run.output
    text = scene.run("status", bluegreen_status_format="json").good().output
    assert '"release": "v4"' in text
    assert scene.everywhere(lambda host: scene.fleet[host].sh(script + " 2>/dev/null || true").stdout) == before


def test_old_and_failed_releases_go_and_what_runs_or_may_be_gone_back_to_stays(scene: Scene) -> None:
    run = scene.release("v5", faults={"app2": "v5/green=crash"}).bad("app2")
    run.says("app2/green failed at check", "it is broken on purpose")
    assert [app for app, lines in told(scene).items() if any(line.startswith("on_rollback") for line in lines)] == ["app2"]
    with scene.load():
        scene.release("v6").good()
    whole(scene, "v6")
    kept = {app: set(scene.fleet[app].sh("ls /srv/shop/releases /srv/shop/blue | grep ^v").stdout.split()) for app in scene.apps}
    assert kept == {"app1": {"v4", "v5", "v6"}, "app2": {"v4", "v6"}}  # app1 ran v5, which its links name


@pytest.mark.full
def test_the_singleton_of_a_lost_host_is_started_nowhere_until_somebody_says_that_the_host_is_gone(scene: Scene) -> None:
    place, _ = alone(scene)
    other = next(app for app in scene.apps if app != place)
    scene.fleet[place].disconnect()
    try:
        run = scene.release("v7", max_unreachable=1, min_serving=0)
        run.says("scheduler", place)
        ledger = scene.fleet[other].sh("cat /srv/shop/shared/ledger/scheduler 2>/dev/null || true").stdout
        assert not ledger.splitlines() or ledger.splitlines()[-1].split()[3] == "end"
    finally:
        scene.fleet[place].connect()
    scene.release("v7").good()
    whole(scene, "v7")
