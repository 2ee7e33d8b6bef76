"""The watch of development, as the one file that is installed, beside a real supervisord and a program with code in a directory."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pack
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Supervisor
from ansible_collections.hotswap.bluegreen.plugins.module_utils._watch import _settings

from tests.drivers.conftest import next_service
from tools.bed import PYTHON, Bed, alive, end, wait_until

PATIENCE = 60.0  # seconds for what takes one at most
# Notes each start and each reload, with the code that it finds then.
APP = """
import pathlib, signal, sys, time
code, told = map(pathlib.Path, sys.argv[1:])
def load(how, *_):
    with told.open("a") as out:
        out.write(how + " " + (code / "value.py").read_text().strip() + "\\n")
signal.signal(signal.SIGUSR1, lambda *_: load("reload"))
load("start")
while True:
    time.sleep(60)
"""


class Edited:
    """A program that runs from a directory, and the watch of that directory."""

    def __init__(self, bed: Bed, path: Path) -> None:
        self.bed, self.path, self.name = bed, path, next_service()
        self.code, self.told, self.log = path / "code", path / "told", path / "watch.log"
        self.watch: subprocess.Popen[bytes] | None = None
        self.code.mkdir()
        (self.code / "value.py").write_text("VALUE = 1\n")
        (path / "app.py").write_text(APP)
        self.settings = _settings.Settings(
            program=self.name, paths=(str(self.code),), reload="USR1", debounce=0.2, supervisor=Supervisor(config=f"{bed.path}/supervisord.conf")
        )
        self.program = bed.path / "programs" / f"{self.name}.conf"
        self.program.write_text(
            f"[program:{self.name}]\ncommand={PYTHON} {path}/app.py {self.code} {self.told}\nstartsecs=0\nstartretries=0\n"
            f"redirect_stderr=true\nstdout_logfile={path}/app.log\n"
        )
        bed.supervisorctl("reread")
        bed.supervisorctl("add", self.name)
        self.loads("start VALUE = 1")

    def begin(self, words: tuple[str, ...] = (), **changes: Any) -> Edited:
        """Start the watch; ``words`` come before its command."""
        settings = replace(self.settings, **changes)
        (self.path / "watch.pyz").write_bytes(_pack.pack("_watch._main"))
        (self.path / "watch.json").write_text(_settings.dumps(settings))
        with self.log.open("wb") as log:
            command = [*words, PYTHON, "-I", "-B", f"{self.path}/watch.pyz", f"{self.path}/watch.json"]
            self.watch = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.says("watching ")
        return self

    def lines(self) -> list[str]:
        return [line.partition(" ")[2].partition(" ")[2] for line in self.log.read_text().splitlines()]

    def says(self, *words: str, times: int = 1) -> str:
        """The line that has these words, once it is there so often."""

        def found() -> list[str]:
            return [line for line in self.lines() if all(word in line for word in words)]

        with contextlib.suppress(TimeoutError):
            return str(wait_until(lambda: len(found()) >= times and found()[-1], PATIENCE))
        raise AssertionError(f"{words} is not in:\n{self.log.read_text()}")

    def loads(self, *wanted: str) -> None:
        """The program has loaded these, and no others since its start."""
        wait_until(lambda: self.told.exists() and len(self.told.read_text().splitlines()) >= len(wanted), PATIENCE, f"{wanted}")
        assert self.told.read_text().splitlines() == list(wanted)

    def save(self, text: str, name: str = "value.py") -> None:
        (self.code / name).write_text(text)

    def remove(self) -> None:
        if self.watch and self.watch.poll() is None:
            self.watch.kill()
            self.watch.wait()
        self.bed.supervisorctl("stop", self.name)
        self.bed.supervisorctl("remove", self.name)
        self.program.unlink()


@pytest.fixture
def edited(app_bed: Bed, tmp_path: Path) -> Iterator[Edited]:
    one = Edited(app_bed, tmp_path)
    yield one
    one.remove()


def test_a_save_is_loaded_once_by_the_signal_and_one_line_tells_of_it(edited: Edited) -> None:
    edited.begin()

    edited.save("VALUE = 2\n")

    line = edited.says("loaded: value.py;", "checked", "reloaded", "USR1 to pid")
    edited.loads("start VALUE = 1", "reload VALUE = 2")
    assert edited.lines()[1:] == [line]
