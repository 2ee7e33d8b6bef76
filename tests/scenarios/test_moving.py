"""The pages of docs/moving played as they stand: an old set-up serves, is taken over and updated, and a client that asks all the time notices nothing.

Of this machine's own are ports, directories and what the programs are (a small server in the place of PHP, Puma and gunicorn).
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.docs import pages
from tests.scenarios import plays
from tests.scenarios.test_adopt import ask, asked, by_hand, reload
from tools import bed as beds

TOLD = re.compile(r"put `(?P<ours>include \S+;)` in (?P<file>\S+), line \d+, in the place of `(?P<theirs>[^`]+)`")


@dataclass(frozen=True)
class Move:
    """A page, the directory of its inventory and variables, and the hosts that it is played on."""

    page: str
    path: Path
    hosts: Mapping[str, beds.Bed]

    def write(self) -> None:
        """inventory and group_vars as the page has them; host_vars with what is this machine's own."""
        variables = pages.block(self.page, "bluegreen_adopt:").text
        slots = [slot["name"] for slot in yaml.safe_load(variables)["bluegreen_slots"]]
        (self.path / "inventory").write_text(pages.block(self.page, "[shop").text)
        files = {"group_vars/shop.yml": variables}
        for host, bed in self.hosts.items():
            here = {name: value for name, value in bed.variables.items() if name not in ("bluegreen_service", "bluegreen_slots")}
            here |= {"ansible_connection": "local", "ansible_python_interpreter": beds.PYTHON, "bluegreen_user": "", "bluegreen_build": "true"}
            here |= {name: plays.RELEASE[name] for name in ("bluegreen_command", "bluegreen_source", "bluegreen_start_seconds")}
            here |= {"bluegreen_runtime": "generic", "bluegreen_address": "127.0.0.1"}
            if "supervisor" in bed.parts:
                ports = zip(slots, (bed.blue, bed.green), strict=False)
                here["bluegreen_slots"] = [{"name": name, "port": port} for name, port in ports]
            files[f"host_vars/{host}.yml"] = yaml.safe_dump(here)
        for name, text in files.items():
            (self.path / name).parent.mkdir(exist_ok=True)
            (self.path / name).write_text(text)

    def plays(self) -> list[str]:
        """The page's own commands, in its order."""
        found = [block for block in pages.blocks(pages.ROOT / self.page) if block.language == "sh" and "ansible-playbook" in block.text]
        return [line for block in found for line in block.text.splitlines() if line.startswith("ansible-playbook")]

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        words = [word for word in shlex.split(command, comments=True) if word != "--become"]
        program = str(Path(beds.PYTHON).parent / words[0])
        result = subprocess.run(
            [program, *words[1:]], cwd=self.path, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300
        )
        print(command, result.stdout, result.stderr)
        return result

    def follow(self, front: beds.Bed) -> list[str]:
        """All of the page's plays with what it says to do between them; what the last ones warned of. ``front`` is where clients come in."""
        warned = []
        with asked(front) as statuses:
            for command in self.plays():
                result = self.run(command)
                told = TOLD.search(result.stdout)
                assert result.returncode == (2 if "says which line" in command else 0), result.stdout
                if told:
                    site = Path(told["file"])
                    site.write_text(site.read_text().replace(told["theirs"], told["ours"]))
                    reload(front)
                warned.append(result.stdout + result.stderr)
        assert len(statuses) > 100 and set(statuses) == {200}
        return warned


@contextmanager
def move(page: str, kinds: Mapping[str, type[beds.Bed]]) -> Iterator[Move]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bg-")))
        folder.chmod(0o755)
        hosts = {name: stack.enter_context(kind(folder / name)) for name, kind in kinds.items()}
        made = Move(f"docs/moving/{page}", folder / "project", hosts)
        made.path.mkdir()
        made.write()
        yield made


def program(bed: beds.Bed, name: str, port: int, command: str) -> None:
    """A program of the user's own."""
    section = f'[program:{name}]\ncommand={command}\nstartsecs=0\nenvironment=PORT="{port}",BLUEGREEN_RELEASE="by hand"\n'
    (bed.path / "programs" / "hand.conf").write_text(section)
    bed.supervisorctl("update")
    beds.wait_until(lambda: ask(port) == 200, 20, "the program by hand")


def front_of(bed: beds.Bed, upstream: str, target: str) -> None:
    """A server block of the user's own."""
    (bed.path / "conf.d" / "hand.conf").write_text(f"{upstream}server {{\n    listen 127.0.0.1:{bed.port};\n    location / {{ proxy_pass {target}; }}\n}}\n")
    reload(bed)
    beds.wait_until(lambda: ask(bed.port) == 200, 20, "the service by hand")


def running(bed: beds.Bed) -> dict[str, str]:
    return dict(line.split()[:2] for line in bed.supervisorctl("status").splitlines())


def released(bed: beds.Bed, slot: str = "blue") -> str:
    return (bed.path / "srv" / slot / "current").readlink().name


@pytest.mark.full
def test_from_a_script() -> None:
    with move("from-a-script.md", {"app1": beds.Bed}) as moved:
        bed = moved.hosts["app1"]
        by_hand(bed)
        *_, warned = moved.follow(bed)
        assert running(bed) == {"web1": "STOPPED", "web2": "STOPPED", "shop-blue": "RUNNING", "shop-green": "RUNNING"}
        assert released(bed) == released(bed, "green") == "1.1"
        assert "delete the section [program:web1]" in warned


@pytest.mark.full
def test_from_capistrano() -> None:
    with move("from-capistrano.md", {"app1": beds.Bed}) as moved:
        bed = moved.hosts["app1"]
        old = bed.path / "var" / "www" / "shop"
        for folder in ("releases/20261121104500", "shared/storage", "shared/config"):
            (old / folder).mkdir(parents=True)
        (old / "shared" / "storage" / "letter").write_text("dear reader")
        (old / "shared" / "config" / "master.key").write_text("secret")
        (old / "releases" / "20261121104500" / "app.py").write_bytes((plays.APP / "app.py").read_bytes())
        (old / "current").symlink_to(old / "releases" / "20261121104500")
        program(bed, "shop", bed.blue, f"{beds.PYTHON} {old}/current/app.py")
        front_of(bed, "", f"http://127.0.0.1:{bed.blue}")
        links = pages.block(moved.page, "ln -s").text.replace("/var/www/shop", str(old)).replace("/srv/shop", bed.variables["bluegreen_root"])
        subprocess.run(["sh", "-eu", "-c", links], check=True)

        warned = moved.follow(bed)
        assert "shop goes back to release 2026.11.1" in warned[-1] and released(bed) == released(bed, "green") == "2026.11.1"
        assert running(bed) == {"shop": "STOPPED", "shop-blue": "RUNNING", "shop-green": "RUNNING"}
        for slot in ("blue", "green"):
            current = bed.path / "srv" / slot / "current"
            assert (current / "storage" / "letter").read_text() == "dear reader" and (current / "config" / "master.key").read_text() == "secret"


@pytest.mark.full
def test_from_supervisorctl() -> None:
    with move("from-supervisorctl.md", {"lb1": beds.BalancerBed, "app1": beds.AppBed, "app2": beds.AppBed}) as moved:
        balancer, *apps = moved.hosts.values()
        for bed in apps:
            program(bed, "shop", bed.blue, f"{beds.PYTHON} {plays.APP}/app.py")
        servers = " ".join(f"server 127.0.0.1:{bed.blue};" for bed in apps)
        front_of(balancer, f"upstream shop {{ {servers} }}\n", "http://shop")
        moved.follow(balancer)
        for bed in apps:
            assert running(bed) == {"shop": "STOPPED", "shop-main": "RUNNING"} and released(bed, "main") == "1.1"
