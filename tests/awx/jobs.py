"""Jobs as AWX runs them, by ansible-runner: a private data directory, an inventory script, extra vars in a file, no terminal, cancel by SIGKILL.

What AWX itself does before and after (its database, its queue, the container around it) is not here; what of it reaches a
playbook is written down from its sources: the environment, ``awx_*`` and ``tower_*``, texts as ``!unsafe``, and the artifacts
of a workflow's nodes as extra vars of the ones that come after.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes

from tools import bed as beds

PROJECT = beds.ROOT / "examples" / "awx"
WEB = beds.ROOT / "tests" / "apps" / "web.py"
APP: dict[str, Any] = {
    "bluegreen_command": f"{beds.PYTHON} web.py",
    "bluegreen_source": {"directory": str(WEB.parent), "exclude": ["plain"]},
    "bluegreen_start_seconds": 0,
    "bluegreen_boot_timeout": 120,
    "bluegreen_stop_timeout": 20,
}
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Job:
    """One job while it runs and after: AWX's word for how it ended, what it printed, the artifacts it hands on."""

    number: int
    status: str = ""
    lines: list[str] = field(default_factory=list)
    artifacts: dict[str, Any] = field(default_factory=dict)
    family: set[int] = field(default_factory=set)
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def hear(self, event: Mapping[str, Any], at: Callable[[str], bool]) -> bool:
        """An event as it comes in; ``at`` says at which line a person cancels."""
        lines = _COLOURS.sub("", str(event.get("stdout") or "")).splitlines()
        self.lines += lines
        self.artifacts |= event.get("event_data", {}).get("artifact_data") or {}
        if any(map(at, lines)):
            self.cancel.set()
        return True

    def is_cancelled(self) -> bool:
        """Asked all the time; at last it notes which processes are the job's, because its workers have sessions of their own."""
        if self.cancel.is_set():
            self.family |= _processes.tree(os.getpid()) - {os.getpid()}
        return self.cancel.is_set()

    def orphans(self) -> list[str]:
        """What is left of the job on the controller: processes of its own, not those of the service on the same machine."""
        return [words for pid in self.family if beds.alive(pid) for words in map(_words, _processes.tree(pid)) if "ansible" in words]


def _words(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


@dataclass
class Awx:
    """A project's checkout and an inventory, from which jobs are launched."""

    path: Path
    hosts: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Any]
    launched: int = 0
    patience: float = 1.0  # seconds between two looks whether a job was cancelled; AWX has 5

    def launch(
        self, playbook: str, answers: Mapping[str, Any] | None = None, *, at: Callable[[str], bool] = lambda _line: False, words: str = "", **more: Any
    ) -> Job:
        """Run a job to its end. ``answers`` are extra vars as a survey or a workflow gives them, ``more`` those of ours without prefix."""
        self.launched += 1
        job = Job(100 + self.launched)
        folder = Path(tempfile.mkdtemp(prefix=f"awx_{job.number}_", dir=self.path))
        self._write(folder, job, {**(answers or {}), **{f"bluegreen_{name}": value for name, value in more.items()}})

        def run() -> None:
            ran = ansible_runner.run(
                private_data_dir=str(folder),
                playbook=playbook,
                cmdline=words or None,
                quiet=True,
                ident=str(job.number),
                event_handler=lambda event: job.hear(event, at),
                cancel_callback=job.is_cancelled,
                settings={"pexpect_timeout": self.patience, "suppress_env_files": True},
            )
            job.status = ran.status

        thread = threading.Thread(target=run)  # the runner's own handler of SIGTERM belongs to a main thread
        thread.start()
        thread.join(400)
        assert not thread.is_alive(), f"the job did not end: {job.output}"
        print(job.output)
        return job

    def _write(self, folder: Path, job: Job, answers: Mapping[str, Any]) -> None:
        shutil.copytree(PROJECT, folder / "project", ignore=shutil.ignore_patterns("inventory"))
        for name in ("inventory", "env"):
            (folder / name).mkdir()
        data = {"all": {"vars": dict(self.variables)}, "_meta": {"hostvars": self.hosts}, "shop": {"hosts": list(self.hosts)}}
        script = folder / "inventory" / "hosts"
        script.write_text(f"#!{beds.PYTHON}\nprint({json.dumps(data)!r})\n")
        script.chmod(0o700)
        about = {"job_id": job.number, "job_launch_type": "manual", "job_template_name": "shop release", "user_name": "ada", "user_id": 7, "inventory_id": 2}
        known = {f"{prefix}_{name}": value for prefix in ("awx", "tower") for name, value in about.items()}
        texts = [f"{name}: {'!unsafe ' if isinstance(value, str) else ''}{json.dumps(value)}" for name, value in {**known, **answers}.items()]
        (folder / "env" / "extravars").write_text("---\n" + "\n".join(texts) + "\n")
        (folder / "env" / "envvars").write_text(json.dumps(self._environment(job, folder)))

    def _environment(self, job: Job, folder: Path) -> dict[str, str]:
        ours = beds.environment()
        given = {name: ours[name] for name in ("ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_CONFIG", "PYTHONDONTWRITEBYTECODE")}
        return {
            **given,
            "PATH": f"{Path(beds.PYTHON).parent}:{os.environ.get('PATH', '')}",
            "ANSIBLE_FORCE_COLOR": "True",
            "ANSIBLE_HOST_KEY_CHECKING": "False",
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
            "ANSIBLE_RETRY_FILES_ENABLED": "False",
            "AWX_PRIVATE_DATA_DIR": str(folder),
            "AWX_HOST": "https://awx.example.org",
            "AWX_JOB_ID": str(job.number),
            "JOB_ID": str(job.number),
            "INVENTORY_ID": "2",
            "MAX_EVENT_RES": "700000",
        }


@contextlib.contextmanager
def awx(**variables: Any) -> Iterator[tuple[Awx, beds.Bed]]:
    """A bed with the service installed, and the AWX that has it in its inventory."""
    with tempfile.TemporaryDirectory(prefix="bg-") as name, beds.Bed(Path(name) / "host") as bed:
        Path(name).chmod(0o755)
        local = {"ansible_connection": "local", "ansible_python_interpreter": beds.PYTHON}
        found = Awx(Path(name), {"app1": local}, {**bed.variables, **APP, **variables})
        installed = found.launch("install.yml")
        assert installed.status == "successful", installed.output
        yield found, bed
