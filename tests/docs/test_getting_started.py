"""docs/getting-started.md followed to the letter: on a private bed every day, on two bare hosts in make test-full.

There a controller that has only Python installs ansible-core and the packed collection, and the hosts have neither nginx nor
supervisor. What differs from the page: the addresses, how ssh is let in, and the collection's tarball instead of Galaxy.
Afterwards every other page's blocks that say ``run`` are run there, too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs import bare, pages
from tests.docs.pages import Block
from tests.docs.reader import Reader, Typed, reading, steps
from tools import bed as beds
from tools import hosts

PAGE = "docs/getting-started.md"
# Where the page says that something of ours lands.
TOLD = ("/srv/shop", "/etc/supervisor/conf.d/shop-", "/etc/nginx/conf.d/bluegreen-shop.conf", "/etc/nginx/bluegreen", "/etc/nginx/conf.d/.bluegreen.lock")


def follow(reader: Reader, blocks: list[Block]) -> dict[str, Typed]:
    """Write and type it all; what each block printed, by its first command. A block ends as its mark says."""
    done: dict[str, Typed] = {}
    for block in blocks:
        if block.mark.startswith("file:"):
            reader.write(block)
            continue
        typed = reader.type(block)
        assert (typed.status != 0) == ("fails" in block.mark), f"{block} ended with {typed.status}:\n{typed.output}"
        done[block.commands[0]] = typed
    return done


def output(done: dict[str, Typed], words: str) -> str:
    *_, found = [typed.output for first, typed in done.items() if words in first]
    return found


def answers(text: str) -> Counter[str]:
    """What ``sort answers.txt | uniq -c`` printed at the end of a block's output."""
    return Counter({words: int(count) for count, words in re.findall(r"^ +(\d+) (.*)$", text, re.MULTILINE)})


def holds(done: dict[str, Typed], first: int) -> None:
    """What the page promises."""
    assert output(done, "hotswap.bluegreen.install").rstrip().endswith("502")
    assert output(done, "bluegreen_release=1.0").count("Welcome to release 1.0") == first
    seen = answers(output(done, "bluegreen_release=1.1"))
    assert set(seen) == {"Welcome to release 1.0", "Welcome back to release 1.1"}, seen


def cheap(block: Block) -> bool:
    """What costs little and does not ask the network."""
    return not re.search(r"pip install|--check|bluegreen_release=1\.2|nothing_of_this_name|bluegreen\.(rollback|status)|builtin\.ping", block.text)


def test_the_page_works_on_a_host_of_this_machine(tmp_path: Path) -> None:
    with beds.temporary() as bed:
        # This machine's own: a private nginx and supervisor, free ports, no sudo.
        here = {name: value for name, value in bed.variables.items() if name != "bluegreen_service"}
        here |= {"ansible_connection": "local", "ansible_python_interpreter": beds.PYTHON, "ansible_become": False}
        here |= {} if os.geteuid() == 0 else {"bluegreen_user": ""}
        (tmp_path / "host_vars").mkdir()
        (tmp_path / "host_vars" / "web1.yml").write_text(yaml.safe_dump(here))
        own = {"web2 ansible_host=192.0.2.12\n": "", "192.0.2.11:8080": f"127.0.0.1:{bed.port}", "192.0.2.12:8080": f"127.0.0.1:{bed.port}"}
        environment = beds.environment(PATH=f"{Path(beds.PYTHON).parent}:{os.environ['PATH']}")
        with reading(tmp_path, environment, own) as reader:
            done = follow(reader, [block for block in steps(PAGE) if cheap(block)])
        holds(done, first=2)


@pytest.mark.full
def test_the_page_works_on_two_bare_hosts_in_a_quarter_of_an_hour_and_all_pages_work_there(followed: dict[str, Typed]) -> None:
    holds(followed, first=2)
    assert output(followed, "hotswap.bluegreen.rollback").rstrip().endswith("Welcome to release 1.0")
    seconds = sum(typed.seconds for typed in followed.values())
    assert seconds < 900, seconds
    print(f"getting started took {seconds:.0f} s: " + ", ".join(f"{first[:50]} {typed.seconds:.0f}" for first, typed in followed.items()))
    assert output(followed, "sed -i '/nothing").count("1.3")
    failed = output(followed, "bluegreen_release=1.2")
    assert "No module named 'nothing_of_this_name'" in failed
    assert "is back on release 1.0 and serves" in failed


@pytest.fixture(scope="module")
def followed() -> Iterator[dict[str, Typed]]:
    """The page on two hosts, then the other pages' commands."""
    with hosts.up("web1", "web2") as fleet, tempfile.TemporaryDirectory(prefix="bg-") as folder:
        project, home = Path(folder, "project"), Path(folder, "home")
        for path in (project / "group_vars", home):
            path.mkdir(parents=True)
        for host in fleet:
            bare.make(host, Path(folder))
        (project / "group_vars" / "all.yml").write_text(yaml.safe_dump({**fleet.variables("ops"), "ansible_python_interpreter": "auto_silent"}))
        own = {"192.0.2.11": fleet["web1"].address, "192.0.2.12": fleet["web2"].address}
        with reading(project, alone(home), own) as reader:
            done = {}
            for block in steps(PAGE):
                done |= follow(reader, [block])
                if "pip install ansible-core" in block.text:
                    installed(reader, project)
            assert [path for path in ours(fleet) if not path.startswith(TOLD)] == []
            for page in pages.all_pages():
                if pages.name(page) != PAGE:
                    elsewhere(reader, fleet, page)
            on_hosts(fleet, pages.block(PAGE, "rm -r "))
            assert ours(fleet) == ["/etc/nginx/bluegreen", "/etc/nginx/conf.d/.bluegreen.lock"]
            yield done


def elsewhere(reader: Reader, fleet: hosts.Fleet, page: Path) -> None:
    """The blocks of another page: at the controller, or on a host."""
    for block in pages.blocks(page):
        if re.match(r"run(: fails)?$", block.mark):
            follow(reader, [block])
        elif block.mark.startswith("run on:"):
            on_hosts(fleet, block)


def on_hosts(fleet: hosts.Fleet, block: Block) -> None:
    """Type a block as root on the hosts that its mark names."""
    for name in block.mark.removeprefix("run on:").replace(",", " ").split():
        ran = fleet[name].run("bash", "-e", "-c", block.text, check=False)
        assert ran.returncode == 0, f"{block} on {name}:\n{ran.stdout}{ran.stderr}"


def ours(fleet: hosts.Fleet) -> list[str]:
    """What bears the service's or the collection's name on the hosts' disks."""
    look = "find / -xdev ( -name *shop* -o -name *bluegreen* -o -name *hotswap* ) -not -path /proc/* -not -path /var/log/*"
    return sorted({line for host in fleet for line in host.run(*look.split()).stdout.split()})


def alone(home: Path) -> dict[str, str]:
    """The environment of somebody who has just logged in: nothing of this project's, nothing of Ansible's."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name.endswith(("_proxy", "_PROXY")) or name == "LANG"}
    python = Path(sys.base_prefix) / "bin"
    return {**kept, "HOME": str(home), "PATH": f"{python}:/usr/local/bin:/usr/bin:/bin", "ANSIBLE_NOCOLOR": "1"}


def installed(reader: Reader, project: Path) -> None:
    """Instead of asking Galaxy: the tarball that would be there."""
    command = [str(Path(beds.PYTHON).parent / "ansible-galaxy"), "collection", "build", str(pages.ROOT), "--output-path", str(project)]
    subprocess.run(command, cwd=project, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=300)
    (tarball,) = project.glob("hotswap-bluegreen-*.tar.gz")
    block = pages.block(PAGE, "ansible-galaxy collection install")
    typed = reader.type(Block(block.page, block.line, "sh", "run", block.text.replace("hotswap.bluegreen", str(tarball))))
    assert typed.status == 0, typed.output
