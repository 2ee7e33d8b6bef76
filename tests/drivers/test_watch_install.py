"""The watch as the role installs it: under a real supervisord, once, as the program's user, and away again without a trace."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _supervisor, _watch_install, _watch_rules
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._watch_rules import Wanted

from tests.drivers.conftest import next_service
from tests.unit.test_watch_program import told
from tools.bed import PYTHON, AppBed, Bed, temporary, wait_until

PATIENCE = 60.0
NOBODY = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    """A host where others than we may look at the code."""
    with temporary(AppBed) as host:
        yield host


@pytest.fixture
def want(bed: Bed) -> Iterator[Callable[[], Wanted]]:
    """Makes a program that another user runs, and what its watch is to be; its environment is the tests' own, which has watchfiles."""
    import importlib.metadata

    where = {"config": f"{bed.path}/supervisord.conf", "program_dir": f"{bed.path}/programs"}
    made: list[Wanted] = []

    def make() -> Wanted:
        name = next_service()
        code, home = bed.path / name, bed.path / f"{name}-watch"
        code.mkdir()
        (code / "x.txt").write_text("one")
        (bed.path / "programs" / f"{name}.conf").write_text(
            f"[program:{name}]\ncommand=sleep 600\nstartsecs=0\nstdout_logfile=NONE\n{f'user={NOBODY}' if os.geteuid() == 0 else ''}\n"
        )
        client = _supervisor.connect(_watch_rules.read(told(program=name, supervisor=where)).settings.supervisor)
        client.reread()
        client.add(name)
        build = ["sh", "-c", f"id -un > {bed.path}/built-{name}"]
        wanted = _watch_rules.read(
            told(program=name, paths=[str(code)], home=str(home), supervisor=where, build=build, watchfiles_version=importlib.metadata.version("watchfiles"))
        )
        made.append(wanted)
        home.mkdir()
        (home / "venv").symlink_to(Path(PYTHON).parents[1])
        (home / _watch_install.SETTINGS).touch()
        (bed.path / f"built-{name}").touch()
        (bed.path / f"built-{name}").chmod(0o666)
        return wanted

    yield make
    for wanted in made:
        client = _supervisor.connect(wanted.settings.supervisor)
        for name in (wanted.name, wanted.settings.program):
            _supervisor.forget(client, name)
            (bed.path / "programs" / f"{name}.conf").unlink(missing_ok=True)


def test_it_is_installed_once_works_as_the_programs_user_and_leaves_nothing(bed: Bed, want: Callable[[], Wanted]) -> None:
    wanted = want()
    client = _supervisor.connect(wanted.settings.supervisor)
    assert _watch_install.install(wanted, "present", dry=True).changed
    assert client.process(wanted.name).state == "ABSENT"

    assert _watch_install.install(wanted, "present").changed
    first = client.process(wanted.name)
    assert first.state == "RUNNING"
    assert os.stat(f"{wanted.home}/{_watch_install.SETTINGS}").st_mode & 0o777 == 0o600  # an environment may be secret
    assert not _watch_install.install(wanted, "present").changed

    log, built = Path(wanted.home) / _watch_install.LOG, bed.path / f"built-{wanted.settings.program}"
    before = client.process(wanted.settings.program).pid
    (bed.path / wanted.settings.program / "x.txt").write_text("two")
    wait_until(lambda: " loaded: x.txt; " in log.read_text(), PATIENCE, "the reload")
    assert client.process(wanted.settings.program).pid != before
    assert built.read_text().strip() == NOBODY
    if os.geteuid() == 0:
        children = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        assert [os.stat(f"/proc/{pid}").st_uid for pid in (str(first.pid), *children)] == [0, pwd.getpwnam(NOBODY).pw_uid]

    assert _watch_install.install(replace(wanted, settings=replace(wanted.settings, debounce=1.0)), "present").changed
    assert client.process(wanted.name).pid != first.pid
    client.stop(wanted.name)
    wait_until(lambda: not client.process(wanted.name).pid, PATIENCE)
    assert _watch_install.install(replace(wanted, settings=replace(wanted.settings, debounce=1.0)), "present").changed
    assert client.process(wanted.name).state == "RUNNING"

    assert _watch_install.install(wanted, "absent", dry=True).changed
    assert client.process(wanted.name).state == "RUNNING"
    assert _watch_install.install(wanted, "absent").changed
    assert client.process(wanted.name).state == "ABSENT"
    assert not os.path.lexists(wanted.home) and not os.path.exists(_watch_install.program_path(wanted))
    assert not _watch_install.install(wanted, "absent").changed
    assert client.process(wanted.settings.program).state == "RUNNING"
    assert Path(PYTHON).exists()


def test_a_program_and_a_directory_of_others_are_not_touched(bed: Bed, want: Callable[[], Wanted]) -> None:
    wanted = want()
    other = replace(wanted, name=wanted.settings.program)
    full = bed.path / "others"
    (full / "work").mkdir(parents=True)
    (full / _watch_install.SETTINGS).touch()
    for state in ("present", "absent"):
        with pytest.raises(Refusal, match=f"is not the watch of {wanted.settings.program}"):
            _watch_install.install(other, state)
        with pytest.raises(Refusal, match="was not made by this role: it has work"):
            _watch_install.install(replace(wanted, home=str(full)), state)

    with pytest.raises(Refusal, match=r"supervisor knows a program .* which is not ours"):
        _watch_install.install(
            replace(other, settings=replace(other.settings, supervisor=replace(other.settings.supervisor, program_dir=str(full)))), "present"
        )
    assert (full / "work").is_dir()


def test_what_is_missing_is_a_sentence(bed: Bed, want: Callable[[], Wanted]) -> None:
    wanted = want()
    with pytest.raises(Refusal, match="supervisor does not know the program nobodys, which watch_program names"):
        _watch_install.install(replace(wanted, settings=replace(wanted.settings, program="nobodys")), "present")

    (Path(wanted.home) / "venv").unlink()
    with pytest.raises(Refusal, match=r"no-such-python -m venv .* cannot be run: .* apt install python3-venv"):
        _watch_install.install(replace(wanted, python="no-such-python"), "present")


def test_a_watch_that_does_not_come_up_fails_the_role_with_its_last_words(want: Callable[[], Wanted]) -> None:
    wanted = want()
    venv = Path(wanted.home) / "venv"
    venv.unlink()
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(Path(PYTHON).resolve())  # that one has not the library, whatever lies beside it
    (venv / "lib" / "python3.11" / "site-packages" / f"watchfiles-{wanted.version}.dist-info").mkdir(parents=True)

    with pytest.raises(Refusal, match=r"-watch does not come up: .*watch\.log\) ends with: .*No module named 'watchfiles'"):
        _watch_install.install(wanted, "present")


@pytest.mark.full
def test_its_environment_is_its_own_from_the_package_index(bed: Bed, want: Callable[[], Wanted]) -> None:
    wanted = replace(want(), python=PYTHON)
    (Path(wanted.home) / "venv").unlink()

    assert _watch_install.install(wanted, "present").changed

    assert not (Path(wanted.home) / "venv").is_symlink()
    assert not _watch_install.install(wanted, "present").changed


@pytest.mark.full
def test_a_host_without_network_is_told_what_to_do_and_nothing_half_made_stays(bed: Bed, want: Callable[[], Wanted]) -> None:
    wanted = replace(want(), python=PYTHON, version="1.3.0", pip=("--no-index", "--find-links", "/nowhere"))
    (Path(wanted.home) / "venv").unlink()

    with pytest.raises(Refusal, match=r"pip install fails: .*watchfiles==1\.3\.0.* Where PyPI is not reached, watch_pip_arguments"):
        _watch_install.install(wanted, "present")

    assert not (Path(wanted.home) / "venv").exists()
    assert not Path(_watch_install.program_path(wanted)).exists()
