"""A test's bed ends with the process that made it, even where that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tools.bed import alive, wait_until

OWNER = """
import sys, time
from tools.bed import temporary
with temporary() as bed:
    print(bed.path, bed.nginx_pid, bed.supervisor_pid, flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_of_a_bed_whose_process_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", OWNER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        path, *pids = owner.stdout.readline().split()
        assert [alive(int(pid)) for pid in pids] == [True, True]
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not Path(path).exists(), 60, "the end of the bed")
    assert [alive(int(pid)) for pid in pids] == [False, False]
