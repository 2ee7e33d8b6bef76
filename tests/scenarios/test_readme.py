"""README.md followed to the letter: its Python example, with a real gunicorn in a virtual environment of each slot."""

from __future__ import annotations

import http.client
import os
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.docs import pages
from tests.scenarios import plays
from tools import bed as beds

README = (beds.ROOT / "README.md").read_text()
APP = """
import os

def app(environ, start_response):
    body = f"{os.environ['BLUEGREEN_RELEASE']} {os.environ['BLUEGREEN_SLOT']}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


def example(words: str) -> str:
    """The one YAML example of the README that holds ``words``, as it stands there."""
    (found,) = [text for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL) if words in text]
    return str(found)


def ansible(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(beds.PYTHON).parent / "ansible-playbook"), "-i", "inventory", *words]
    return subprocess.run(command, cwd=folder, env=beds.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)


def commands() -> list[list[str]]:
    """The words of the README's commands behind ``ansible-playbook -i inventory``; the bed is the user's own, so nobody is become."""
    lines = pages.block("README.md", "hotswap.bluegreen.rollback").text.splitlines()
    return [[word for word in shlex.split(line, comments=True)[3:] if word != "--become"] for line in lines]


def answer(bed: beds.Bed) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", bed.port, timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.full
def test_the_python_example_release_yml_and_the_commands_work_as_they_stand() -> None:
    with tempfile.TemporaryDirectory(prefix="bg-") as folder, beds.temporary() as bed:
        project, application = Path(folder, "project"), Path(folder, "api")
        for path in (project / "group_vars", project / "host_vars", application):
            path.mkdir(parents=True)
        (application / "api.py").write_text(APP)
        (application / "requirements.txt").write_text("gunicorn\n")
        (project / "inventory").write_text("[shop]\nweb1\n")
        (project / "group_vars" / "shop.yml").write_text(example("venv/bin/gunicorn"))
        (project / "release.yml").write_text(example("import_playbook"))
        # What is this machine's own: the private nginx and supervisor, and ports that are free.
        here = {name: value for name, value in bed.variables.items() if name != "bluegreen_service"}
        here |= {"ansible_connection": "local", "ansible_python_interpreter": beds.PYTHON}
        if os.geteuid():
            here["bluegreen_user"] = ""
        (project / "host_vars" / "web1.yml").write_text(yaml.safe_dump(here))

        install, release, plan, rollback = commands()
        done = ansible(project, *install)
        assert done.returncode == 0, done.stdout
        for words, now in ((["release.yml", "-e", "bluegreen_release=1.4.1"], "1.4.1"), (release, "1.4.2"), (plan, "1.4.2"), (rollback, "1.4.1")):
            done = ansible(project, *words)
            assert done.returncode == 0, done.stdout
            assert answer(bed) == f"{now} blue"
            assert (plays.changed(done) == 0) == (words == plan), done.stdout
