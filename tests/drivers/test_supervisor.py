"""supervisord over its socket: one program at a time, nobody else's touched, and every trouble in a sentence."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes, _supervisor
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Supervisor

from tests.drivers.conftest import next_service
from tools.bed import Bed, wait_until


@dataclass
class Programs:
    """Program files of the test's own on a bed; they and their processes go with the test."""

    bed: Bed
    client: _supervisor.Client
    names: list[str]

    def write(self, name: str, command: str, *lines: str) -> Path:
        path = self.bed.path / "programs" / f"{name}.conf"
        path.write_text("\n".join([f"[program:{name}]", f"command={command}", "startsecs=0", "autostart=false", *lines, ""]))
        if name not in self.names:
            self.names.append(name)
        return path

    def running(self, command: str = "/bin/sleep 60", *lines: str) -> str:
        name = next_service()
        self.write(name, command, *lines)
        self.client.reread()
        self.client.add(name)
        self.client.start(name)
        self.wait(name, "RUNNING")
        self.wait_for_exec(name)
        return name

    def wait_for_exec(self, name: str) -> None:
        """Before its exec a process is a copy of supervisord, to which a stop signal is lost."""
        wait_until(lambda: "supervisord" not in _processes.title(self.client.process(name).pid), what=f"the exec of {name}")

    def wait(self, name: str, state: str) -> _supervisor.Process:
        wait_until(lambda: self.client.process(name).state == state, what=f"{name} {state}")
        return self.client.process(name)


@pytest.fixture
def programs(bed: Bed) -> Iterator[Programs]:
    made = Programs(bed, _supervisor.connect(Supervisor(config=f"{bed.path}/supervisord.conf")), [])
    yield made
    for name in made.names:
        made.client.stop(name)
        wait_until(lambda name=name: _supervisor.waits_for_nothing(made.client.process(name)), what=f"the stop of {name}")
        made.client.remove(name)
        (bed.path / "programs" / f"{name}.conf").unlink(missing_ok=True)
    made.client.reread()


def test_a_program_is_added_started_stopped_and_removed(programs: Programs) -> None:
    name = next_service()
    client = programs.client
    assert client.process(name) == _supervisor.Process("ABSENT")
    programs.write(name, "/bin/sleep 60")
    client.reread()
    assert client.process(name).state == "ABSENT", "to read a file is not to apply it"
    client.add(name)
    assert client.process(name).state == "STOPPED"
    client.start(name)
    process = programs.wait(name, "RUNNING")
    programs.wait_for_exec(name)
    assert process.pid > 0 and process.uptime >= 0
    assert name in client.groups()
    client.stop(name)
    assert programs.wait(name, "STOPPED").pid == 0
    client.remove(name)
    assert client.process(name).state == "ABSENT"


def test_what_is_done_already_is_no_fault(programs: Programs) -> None:
    name = programs.running()
    pid = programs.client.process(name).pid
    programs.client.add(name)
    programs.client.start(name)
    assert programs.client.process(name).pid == pid
    programs.client.stop(name)
    programs.wait(name, "STOPPED")
    programs.client.stop(name)
    programs.client.remove(name)
    programs.client.remove(name)
    programs.client.stop(name)


def test_adding_and_removing_ours_leaves_the_pids_of_others(programs: Programs) -> None:
    other = programs.running()
    pid = programs.client.process(other).pid
    ours = programs.running()
    programs.write(ours, "/bin/sleep 61")
    programs.client.stop(ours)
    programs.wait(ours, "STOPPED")
    programs.client.reread()
    programs.client.remove(ours)
    programs.client.add(ours)
    programs.client.start(ours)
    programs.wait(ours, "RUNNING")
    programs.wait_for_exec(ours)
    assert programs.client.process(other).pid == pid


def test_a_changed_file_of_somebody_else_is_not_applied(programs: Programs) -> None:
    other = programs.running()
    pid = programs.client.process(other).pid
    programs.write(other, "/bin/sleep 62")
    programs.running()
    assert programs.client.process(other).pid == pid


def test_a_program_that_no_file_names_is_refused(programs: Programs) -> None:
    with pytest.raises(Refusal, match="does not know the program nobody: is its file among"):
        programs.client.add("nobody")


def test_a_file_that_supervisor_cannot_read_is_refused_in_its_words(programs: Programs) -> None:
    name = next_service()
    path = programs.bed.path / "programs" / f"{name}.conf"
    path.write_text("[program:x]\nstopsignal=NONSENSE\ncommand=/bin/true\n")
    try:
        with pytest.raises(Refusal, match=r"its configuration cannot be read: .*NONSENSE"):
            programs.client.reread()
    finally:
        path.unlink()
        programs.client.reread()


def test_a_command_that_is_not_there_says_so(programs: Programs) -> None:
    name = next_service()
    programs.write(name, "/nowhere/app")
    programs.client.reread()
    programs.client.add(name)
    with pytest.raises(Refusal, match="/nowhere/app"):
        programs.client.start(name)


def test_the_last_lines_of_both_logs_are_had(programs: Programs) -> None:
    name = programs.running("""/bin/sh -c 'for n in $(seq 30); do echo line $n; done; echo wörse >&2; exec sleep 60'""")
    log = wait_until(lambda: found if "wörse" in (found := programs.client.log(name)) else None, what="the log")
    assert log[:2] == ["line 11", "line 12"] and log[-2:] == ["line 30", "wörse"]
    assert programs.client.log(name, lines=2) == ["line 29", "line 30", "wörse"]
    assert programs.client.log("nobody") == []


def test_a_log_that_is_not_utf_8_is_no_trouble(programs: Programs) -> None:
    name = programs.running("""/bin/sh -c 'printf "before\\n\\377\\376\\001 odd\\nafter\\n"; exec sleep 60'""", "redirect_stderr=true")
    wait_until(lambda: "after" in programs.client.log(name), what="the log's last line")


# Where it is


def test_a_socket_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"its socket .*/none\.sock is not there, so supervisord does not run\. Start it\."):
        _supervisor.connect(Supervisor(config=f"{tmp_path}/none.conf", socket=f"{tmp_path}/none.sock"))


def test_a_socket_that_nobody_answers_on_is_said_so() -> None:
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(f"{folder}/old.sock")
        with pytest.raises(Refusal, match="nobody answers on its socket"):
            _supervisor.connect(Supervisor(config="", socket=f"{folder}/old.sock"))


def test_a_configuration_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"its configuration .* is not there\. Install supervisor, or set bluegreen_supervisor_config"):
        _supervisor.read_access(Supervisor(config=f"{tmp_path}/none.conf"))


@pytest.mark.parametrize(
    ("text", "said"), [("[supervisord]\n", r"has no \[unix_http_server\] with a file"), ("nonsense", "cannot read"), ("[a]\nx=\xff", "cannot read")]
)
def test_a_configuration_that_does_not_help_is_said_so(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "supervisord.conf"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Refusal, match=said):
        _supervisor.read_access(Supervisor(config=str(path)))


@pytest.fixture
def locked_bed() -> Iterator[Bed]:
    """A supervisord that wants a password."""
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        bed = Bed(Path(folder))
        (bed.path / "programs").mkdir()
        write = Path.write_text

        def with_password(self: Path, text: str, *words: object) -> int:
            secret = "username=shop\npassword=pa%ss;word\n"
            text = text.replace("chmod=0700\n", f"chmod=0700\n{secret.replace('%', '%%')}").replace("[supervisorctl]\n", f"[supervisorctl]\n{secret}")
            return write(self, text)

        try:
            Path.write_text = with_password  # type: ignore[method-assign, assignment]  # put back in the finally below
            bed.start_supervisor()
        finally:
            Path.write_text = write  # type: ignore[method-assign]
        try:
            yield bed
        finally:
            bed.stop()


def test_the_credentials_are_those_of_supervisorctl(locked_bed: Bed) -> None:
    config = locked_bed.path / "supervisord.conf"
    where = Supervisor(config=str(config))
    assert _supervisor.connect(where).version().startswith("4.")
    config.write_text(config.read_text().replace("password=", "password=wrong"))
    with pytest.raises(Refusal, match=r"answers 401 Unauthorized\. The username and password are read from the \[supervisorctl\] section") as refusal:
        _supervisor.connect(where)
    assert "pa%ss" not in str(refusal.value)


def test_include_patterns_say_which_files_supervisor_reads(tmp_path: Path) -> None:
    config = tmp_path / "supervisord.conf"
    config.write_text("[unix_http_server]\nfile=%(here)s/s.sock ; the socket\n[include]\nfiles = conf.d/*.conf\n    %(here)s/more/*.ini /etc/x/*/y.conf\n")
    (tmp_path / "real").mkdir()
    (tmp_path / "conf.d").symlink_to("real")
    access = _supervisor.read_access(Supervisor(config=str(config)))
    assert access.socket == f"{tmp_path}/s.sock"
    assert _supervisor.includes(access, f"{tmp_path}/conf.d/shop-blue.conf")
    assert _supervisor.includes(access, f"{tmp_path}/real/shop-blue.conf"), "the same directory by its other name"
    assert _supervisor.includes(access, f"{tmp_path}/more/shop.ini")
    assert _supervisor.includes(access, "/etc/x/1/y.conf")
    assert not _supervisor.includes(access, f"{tmp_path}/more/shop.conf")
    assert not _supervisor.includes(access, f"{tmp_path}/shop.conf")
