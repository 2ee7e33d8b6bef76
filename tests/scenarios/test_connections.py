"""Every way in which Ansible reaches a host, on real hosts over ssh: connections, people, become, and what fails of them.

The balancer lb1 is in no play here but the installation: it is reached from our actions alone, like every host whose turn
it is. The service runs on app1 and app2, over ssh, and on this machine, without ssh and without become.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds
from tools import hosts as test_hosts
from tools.matrix import environments, interpreters
from tools.matrix.table import CORES, of_the_day

ROOT = {"ansible_user": "root", "ansible_become": False}
OPS = {"ansible_user": "ops"}
DEPLOY = {"ansible_user": "deploy"}
PORT = 9601
PASSWORDS = {"app1": "battery-staple-9", "lb1": "correct-horse-7"}  # of deploy; on app2 it is what the test bed gave


class Site:
    """A fleet behind lb1, and one playbook of a user's own that releases to its app hosts."""

    def __init__(self, fleet: test_hosts.Fleet, here: beds.Bed, folder: Path, playbook: Path) -> None:
        """``playbook`` is the program of that name, of the ansible-core to test with."""
        self.fleet, self.folder, self.playbook = fleet, folder, playbook
        self.number = 0
        self.output = ""
        self.here_variables = {
            "ansible_connection": "local",
            "ansible_python_interpreter": beds.TARGET,
            "ansible_become": False,
            "bluegreen_address": _source_address(fleet["lb1"].address),
            "bluegreen_command": f"{beds.PYTHON} app.py",
            "bluegreen_user": "",
            "bluegreen_slots": [{"name": "blue", "port": here.blue}],
            **{name: value for name, value in here.variables.items() if name.startswith(("bluegreen_root", "bluegreen_supervisor_"))},
        }

    @property
    def release(self) -> str:
        """The release that was asked for last."""
        return f"v{self.number}"

    def inventory(self, common: Mapping[str, Any], host_variables: Mapping[str, Mapping[str, Any]], order: tuple[str, ...]) -> str:
        variables = {
            "bluegreen_service": "shop",
            "bluegreen_packages": False,
            "bluegreen_group": "app",
            "bluegreen_balancers": "lb",
            "bluegreen_server_name": "shop.test",
            "bluegreen_serial": "100%",
            "bluegreen_min_serving": 0,
            "bluegreen_command": "/usr/bin/python3 app.py",
            "bluegreen_user": "www-data",
            "bluegreen_source": {"directory": str(plays.APP)},
            "bluegreen_slots": [{"name": "blue", "port": PORT}],
            "bluegreen_start_seconds": 0,
            "bluegreen_environment": {"ADDRESS": "0.0.0.0", "WORD": "{{ inventory_hostname }}"},
            **common,
        }
        found = self.fleet.inventory({"lb": ["lb1"], "app": order}, variables, {"here": self.here_variables, **host_variables})
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"all": _without_nothing(found["all"])}))
        return str(path)

    def play(
        self,
        playbook: str,
        *words: str,
        common: Mapping[str, Any] | None = None,
        order: tuple[str, ...] = ("here", "app1", "app2"),
        environment: Mapping[str, str] | None = None,
        at: tuple[str, Callable[[], None]] | None = None,
        **host_variables: Mapping[str, Any],
    ) -> int:
        """Run a playbook and return its exit status; ``at`` is a line's beginning and what is done when it comes."""
        inventory = self.inventory(common or {}, host_variables, order)
        settings = beds.environment(**{"ANSIBLE_PIPELINING": "True", **(environment or {})})
        command = [str(self.playbook), "-i", inventory, "-f", "4", playbook, "-e", f"bluegreen_release={self.release}", *words]
        self.output = ""
        with subprocess.Popen(
            command, cwd=self.folder, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            limit = threading.Timer(600, process.kill)
            limit.start()
            try:
                assert process.stdout
                for line in process.stdout:
                    self.output += line
                    if at and re.match(at[0], line):
                        at[1]()
                        at = None
                return process.wait()
            finally:
                limit.cancel()
                process.kill()

    def book(self, hosts: str = "app", tasks: tuple[Mapping[str, Any], ...] = (), **keywords: Any) -> str:
        swap = {"name": "Swap the release in", "hotswap.bluegreen.swap": {}}
        roles = ["hotswap.bluegreen.release"]
        return plays.book(self.folder, {"hosts": hosts, "roles": roles, "tasks": [swap, *tasks], **keywords})

    def released(self, *words: str, keywords: Mapping[str, Any] | None = None, tasks: tuple[Mapping[str, Any], ...] = (), **options: Any) -> None:
        """A new release, which then answers through lb1, from each member, as the program's user, with nothing left behind."""
        self.number += 1
        status = self.play(self.book(tasks=tasks, **(keywords or {})), *words, **options)
        assert status == 0, self.output
        assert self.serving() == {"here": self.release, "app1": self.release, "app2": self.release}, self.output
        assert self.owners() == {"app1": "www-data", "app2": "www-data"}
        assert self.leftovers() == {"lb1": "", "app1": "", "app2": ""}

    def refused(self, book: str, *words: str, **options: Any) -> str:
        """A new release that fails, and touched nothing: what was said."""
        self.number += 1
        before = self.picture()
        status = self.play(book, *words, **options)
        self.number -= 1
        assert status != 0, self.output
        assert self.picture() == before, self.output
        return self.output

    def serving(self) -> dict[str, str]:
        """The release of each member that lb1 sends requests to."""
        found: dict[str, str] = {}
        for _ in range(12):
            request = urllib.request.Request(f"http://{self.fleet['lb1'].address}/", headers={"Host": "shop.test"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                body = json.load(answer)
            found[body["word"]] = body["release"]
        return found

    def owners(self) -> dict[str, str]:
        """Whose process the program is."""
        return {name: self.fleet[name].sh('ps -o user= -p "$(supervisorctl pid shop-blue)"').stdout.strip() for name in ("app1", "app2")}

    def leftovers(self) -> dict[str, str]:
        """What is still in the directories that Ansible makes for its own files."""
        script = "find /root/.ansible/tmp /home/*/.ansible/tmp /var/tmp/ours /tmp/ours -mindepth 1 2>/dev/null || true"
        return {host.name: host.sh(script).stdout for host in self.fleet}

    def picture(self) -> dict[str, str]:
        """Everything that a release may change on the hosts: files with their times, and the processes that serve."""
        find = "find /srv /etc/supervisor /etc/nginx -not -type d -printf '%p %T@ %l\\n' | grep -v 'lock\\|lease\\|fence' | sort"
        script = f"{find}; supervisorctl pid shop-blue; cat /run/nginx.pid"
        return {host.name: host.sh(script, check=False).stdout for host in self.fleet}


def _without_nothing(group: dict[str, Any]) -> dict[str, Any]:
    """Variables whose value is None are not set at all."""
    hosts = {name: {key: value for key, value in own.items() if value is not None} for name, own in group["hosts"].items()}
    return {**group, "hosts": hosts, "vars": {key: value for key, value in group["vars"].items() if value is not None}}


def _source_address(destination: str) -> str:
    """This machine's address on the way to there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((destination, 9))
        return str(probe.getsockname()[0])


def ansible_core(version: str) -> Path:
    """The ansible-playbook of another ansible-core."""
    pair = next(of_the_day(core) for core in CORES if core.version == version)
    try:
        return environments.bare(pair) / "ansible-playbook"
    except interpreters.Missing as error:
        pytest.skip(f"NOT RUN: connections with ansible-core {version} on Python {pair.controller}: {error}")


@pytest.fixture(scope="module", params=[pytest.param("", id="ours"), *(pytest.param(version, marks=pytest.mark.full) for version in ("2.16", "2.18", "2.21"))])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Installed, with nothing released yet; everything here is tested with this environment's ansible-core, and in full with older ones."""
    folder = tmp_path_factory.mktemp("connections")
    playbook = ansible_core(request.param) if request.param else Path(beds.PYTHON).with_name("ansible-playbook")
    with test_hosts.up("lb1", "app1", "app2") as fleet, beds.temporary() as here:
        for host in fleet:
            host.start("nginx", "supervisor", seconds=60)
        for name, password in PASSWORDS.items():
            fleet[name].sh(f"echo deploy:{password} | chpasswd")
        site = Site(fleet, here, folder, playbook)
        assert site.play("hotswap.bluegreen.install") == 0, site.output
        yield site


def recap(output: str, host: str) -> str:
    """The host's line of Ansible's recap, '' without one."""
    found = re.findall(rf"^{host} +: (.*)$", output, re.MULTILINE)
    return found[-1] if found else ""


def ssh_lines(output: str, host: str) -> list[str]:
    """The ssh commands for a host, as they are shown with -vvv."""
    return [line for line in output.splitlines() if line.startswith(f"<{host}> SSH: EXEC")]


def test_become_from_the_command_line_where_the_first_host_has_it_and_the_balancer_has_not(site: Site) -> None:
    """Without pipelining, so that the modules go through each host's own directory, with its own shell."""
    elsewhere = {"ansible_remote_tmp": "/tmp/ours", "ansible_shell_executable": "/bin/bash"}
    site.released(
        *("-b", "-vvv"),
        common=OPS,
        order=("app1", "here", "app2"),
        environment={"ANSIBLE_PIPELINING": "False"},
        lb1={**ROOT, **elsewhere},
        app2=elsewhere,
    )
    for name in ("lb1", "app2"):
        assert site.fleet[name].sh("test -d /tmp/ours", check=False).returncode == 0
        assert all("/bin/bash" in line for line in ssh_lines(site.output, site.fleet[name].address) if "/tmp/ours" in line)
    assert site.fleet["app1"].sh("test -d /tmp/ours", check=False).returncode == 1


def test_become_from_variables_of_each_host_in_all_its_spellings(site: Site) -> None:
    sudo = {
        "ansible_become_method": "ansible.builtin.sudo",
        "ansible_become_user": "root",
        "ansible_become_exe": "/usr/bin/sudo",
        "ansible_become_flags": "-H -S",
    }
    site.released(
        common=OPS,
        keywords={"become_user": "nobody"},  # the hosts' own variables come first
        order=("app2", "app1", "here"),
        app1={"ansible_become": True, "ansible_become_user": "root"},
        app2={"ansible_become": "yes", **sudo},
        lb1={"ansible_become": "{{ raised }}", "raised": "true", **sudo},
    )


def test_passwords_reach_their_own_host_only_and_no_output_and_what_a_user_says_of_ssh_stays(site: Site) -> None:
    """One password from the inventory, on the play's first host, another from the command line, on the balancer."""
    file = site.folder / "password"
    file.write_text(PASSWORDS["lb1"])
    file.chmod(0o600)
    plain = str(site.fleet.variables()["ansible_ssh_common_args"]).partition(" -o ServerAlive")[0]
    site.released(
        *("-vvv", "--become-password-file", str(file)),
        keywords={"become": True},
        tasks=({"name": "Show all facts", "ansible.builtin.debug": {"var": "ansible_facts"}},),
        common={"ansible_ssh_common_args": f"{plain} -o SendEnv=BLUEGREEN_TEST"},
        order=("app1", "app2", "here"),
        app1={**DEPLOY, "ansible_become_password": PASSWORDS["app1"], "ansible_control_path": "%(directory)s/mine-%%h"},
        app2=OPS,
        lb1={**DEPLOY, "ansible_ssh_extra_args": "-o ServerAliveInterval=7"},
    )
    for password in PASSWORDS.values():
        assert password not in site.output
    lines = {name: ssh_lines(site.output, site.fleet[name].address) for name in ("lb1", "app1", "app2")}
    assert all("SendEnv=BLUEGREEN_TEST" in line for several in lines.values() for line in several)
    assert lines["lb1"] and all("ServerAliveInterval=7" in line and "ServerAliveInterval=5" not in line for line in lines["lb1"])
    assert lines["app1"] and all("/mine-%h" in line for line in lines["app1"])
    ours = [line for line in lines["app2"] if "ServerAliveInterval=5" in line]
    paths = [{path for line in some for path in re.findall(r"ControlPath=\S+", line)} for some in (ours, set(lines["app2"]) - set(ours))]
    assert len(paths[0]) == len(paths[1]) == 1 and paths[0] != paths[1], paths


def test_another_port_and_key_and_everything_a_template_of_the_hosts_own_variables(site: Site) -> None:
    key = site.folder / "second"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True, stdin=subprocess.DEVNULL)
    site.fleet["app2"].write("/etc/ssh/second_keys", key.with_suffix(".pub").read_text())
    site.fleet["app2"].sh("/usr/sbin/sshd -p 2222 -o AuthorizedKeysFile=/etc/ssh/second_keys -o PidFile=/run/second.pid >/dev/null 2>&1 </dev/null")
    addresses = {host.name: host.address for host in site.fleet}
    (site.folder / "addresses.json").write_text(json.dumps({"addresses": addresses}))
    (site.folder / "group_vars").mkdir()
    (site.folder / "group_vars" / "lb.json").write_text(json.dumps({"internal": "{{ addresses[inventory_hostname] }}", "raised": False, "person": "root"}))
    template = {"ansible_host": "{{ internal }}", "internal": "{{ addresses[inventory_hostname] }}"}
    site.released(
        keywords={
            "remote_user": "{{ login }}",
            "become": "{{ raised }}",
            "connection": "ssh",
            "port": "{{ door | default(22) }}",
            "vars": {"login": "{{ person | default('ops') }}"},
            "vars_files": ["addresses.json"],
            "environment": {"OF_HOST": "{{ inventory_hostname }}"},
        },
        common={"ansible_user": None, "raised": True, "how": "ssh"},
        order=("app1", "here", "app2"),
        here={**site.here_variables, "ansible_connection": "{{ how }}", "how": "local"},
        app1=template,
        app2={**template, "door": 2222, "ansible_ssh_private_key_file": "{{ keys }}/second", "keys": str(site.folder), "ansible_python_interpreter": "auto"},
        lb1={"ansible_host": "{{ internal }}", "ansible_python_interpreter": "{{ python }}", "python": "/usr/bin/python3"},
    )


@pytest.mark.full
def test_a_host_that_falls_silent_while_a_swap_waits_there_is_lost_after_a_while_and_running_again_completes_it(site: Site) -> None:
    """With become as keyword of the play, whose first host has neither ssh nor become."""
    plain = str(site.fleet.variables()["ansible_ssh_common_args"]).partition(" -o ServerAlive")[0]
    silent: list[float] = []

    def cut() -> None:
        site.fleet["app2"].disconnect()
        silent.append(time.monotonic())

    options: dict[str, Any] = {"common": {**OPS, "ansible_ssh_common_args": plain}}
    boot = {"bluegreen_environment": {"ADDRESS": "0.0.0.0", "WORD": "app2", "BOOT_SECONDS": "50"}}
    site.number += 1
    try:
        status = site.play(site.book(become=True), app2=boot, at=(r"app2/blue +check +waiting", cut), **options)
    finally:
        site.fleet["app2"].connect()
    assert silent, site.output
    assert status != 0
    assert time.monotonic() - silent[0] < 40, site.output  # ssh's three questions take 15 to 20 s; the machine may be busy
    assert "app2 does not answer" in site.output
    site.number -= 1
    site.released(keywords={"become": True}, order=("here", "app1", "app2"), **options)
    assert recap(site.output, "lb1") == ""  # it is in no play, and was reached all the same


def test_a_wrong_password_and_a_wrong_key_are_booked_on_the_hosts_whose_they_are(site: Site) -> None:
    other = site.folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True, stdin=subprocess.DEVNULL)
    output = site.refused(
        site.book(become=True, any_errors_fatal=True),
        common=OPS,
        app1={**DEPLOY, "ansible_become_password": "wrong-indeed-3"},
        app2={"ansible_ssh_private_key_file": str(other), "ansible_control_path": "%(directory)s/other"},  # not over a connection that is open
    )
    assert "failed=1" in recap(output, "app1") and "unreachable=0" in recap(output, "app1")
    assert "unreachable=1" in recap(output, "app2")
    assert "Incorrect" in output and "Permission denied" in output
    assert "wrong-indeed-3" not in output


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({**DEPLOY, "ansible_become_password": "wrong-indeed-3"}, "Incorrect sudo password"),
        ({"ansible_become_exe": "/usr/bin/nosudo"}, "nosudo: (command )?not found"),
        ({"ansible_user": "stranger"}, "Permission denied"),
        pytest.param(DEPLOY, "Missing sudo password|a password is required", marks=pytest.mark.full),
        pytest.param({"ansible_become_method": "nomethod"}, "nomethod", marks=pytest.mark.full),
    ],
    ids=["wrong password", "no sudo", "no login", "no password", "no such method"],
)
def test_a_balancer_outside_of_the_play_that_cannot_be_reached_ends_the_run_with_its_name(site: Site, variables: dict[str, Any], words: str) -> None:
    output = site.refused(site.book(become=True, any_errors_fatal=True), common=OPS, lb1=variables)
    assert re.search(rf'"msg": ".*lb1.*({words})', output), output
    assert "Nothing was changed." in output
    assert "wrong-indeed-3" not in output


@pytest.mark.full
def test_a_password_for_sudo_goes_with_modules_that_are_files_too(site: Site) -> None:
    """With test_passwords_reach_…, which has pipelining: the same login, without it."""
    site.released(
        keywords={"become": True},
        environment={"ANSIBLE_PIPELINING": "False"},
        common=OPS,
        order=("app1", "app2", "here"),
        app1={**DEPLOY, "ansible_become_password": PASSWORDS["app1"]},
        lb1={**DEPLOY, "ansible_become_password": PASSWORDS["lb1"]},
    )
    assert not any(password in site.output for password in PASSWORDS.values())


@pytest.mark.parametrize(
    ("pipelining", "words"),
    [
        ("False", "ansible_become_user is 'www-data', to whom Ansible cannot hand over its files: .* turn pipelining on"),
        pytest.param("True", "no permission to write /srv.* Use become", marks=pytest.mark.full),
    ],
    ids=["files", "pipelining"],
)
def test_to_become_somebody_who_is_not_root_is_refused_in_a_sentence_of_ours(site: Site, pipelining: str, words: str) -> None:
    """The hosts have no setfacl: what Ansible says by itself names a mode of chmod on Solaris."""
    book = site.book(become=True, any_errors_fatal=True)
    output = site.refused(book, common=OPS, environment={"ANSIBLE_PIPELINING": pipelining}, app1={"ansible_become_user": "www-data"})
    assert re.search(words, output), output
    assert "failed=1" in recap(output, "app1")
    assert "Nothing was changed." in output
