"""A reader of a page: who writes its files and types its commands into one shell, block after block, as they stand there."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import ROOT, Block, blocks


@dataclass(frozen=True)
class Typed:
    """A block as it went."""

    block: Block
    status: int
    output: str
    seconds: float


class Reader:
    """A shell in the project's directory. ``own`` says what the page's addresses and names are here."""

    def __init__(self, project: Path, environment: Mapping[str, str], own: Mapping[str, str]) -> None:
        self.project = project
        self._folder = Path(tempfile.mkdtemp(prefix="bg-reader-"))
        self._own = own
        self._shell = subprocess.Popen(
            ["bash"],
            cwd=project,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def close(self) -> None:
        """End the shell with everything that was begun in it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def here(self, text: str) -> str:
        for word, mine in self._own.items():
            text = text.replace(word, mine)
        return text

    def write(self, block: Block) -> None:
        """The file that the block is, by its mark ``file: PATH``."""
        path = self.project / block.mark.removeprefix("file:").strip()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.here(block.text))

    def type(self, block: Block, seconds: float = 600) -> Typed:
        """Run the block's commands one after the other; the first that fails ends it, and its exit status is the block's."""
        began, said, status = time.monotonic(), "", 0
        for command in block.commands:
            output, status = self._ask(self.here(command), seconds)
            said += output
            if status:
                break
        return Typed(block, status, said, time.monotonic() - began)

    def _ask(self, script: str, seconds: float) -> tuple[str, int]:
        assert self._shell.stdin
        assert self._shell.stdout
        end = f"--end-{time.monotonic_ns()}--"
        script_file = self._folder / "command"  # so that no command reads the next ones
        script_file.write_text(script)
        self._shell.stdin.write(f". {script_file} </dev/null\necho '{end}' $?\n".encode())
        self._shell.stdin.flush()
        said, deadline = b"", time.monotonic() + seconds
        while True:
            before, found, rest = said.partition(end.encode())
            if found and rest.endswith(b"\n"):
                return before.decode(errors="replace"), int(rest.split()[0])
            ready, _, _ = select.select([self._shell.stdout], [], [], max(0.0, deadline - time.monotonic()))
            piece = os.read(self._shell.stdout.fileno(), 65536) if ready else b""
            if not piece:
                raise AssertionError(f"{script} did not end within {seconds:g} s, or ended the shell:\n{before.decode(errors='replace')}")
            said += piece


@contextlib.contextmanager
def reading(project: Path, environment: Mapping[str, str], own: Mapping[str, str]) -> Iterator[Reader]:
    reader = Reader(project, environment, own)
    try:
        yield reader
    finally:
        reader.close()


def steps(page: str) -> list[Block]:
    """What a reader of the page writes and types, in its order."""
    return [block for block in blocks(ROOT / page) if block.mark.startswith("file:") or block.mark in ("run", "run: fails")]
