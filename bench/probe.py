"""How many requests a second one core's probe sends on schedule: ``python -m bench.probe [RATE SECONDS]``.

The probe has a core of its own, and so has the server, nginx with an answer of its own. Written down are the requests that
were due and what became of them, how many were sent late, and the share of the core that the probe used.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.bed import BalancerBed
from tools.probe import Kind, Probe

_SITE = 'server {{ listen 127.0.0.1:{port}; location / {{ add_header X-Release v1; default_type application/json; return 200 "{{}}"; }} }}\n'


class _Server(BalancerBed):
    def start_nginx(self) -> None:
        (self.path / "conf.d" / "answer.conf").write_text(_SITE.format(port=self.port))
        super().start_nginx()


def measure(url: str, rate: float, seconds: float, cores: tuple[int, int], **kind: Any) -> dict[str, Any]:
    """A probe on the second of two ``cores``, for so many seconds; its result, and the ``core`` share that it used."""
    os.sched_setaffinity(0, {cores[1]})
    with Probe("bench", [Kind("front", url, rate=rate, **kind)], {"header": "X-Release"}, seconds + 60) as probe:
        began, before = time.monotonic(), _used(probe.pid)
        time.sleep(seconds)
        used = (_used(probe.pid) - before) / (time.monotonic() - began)
    return {**probe.result, "core": used}


def _used(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    rates = [float(word) for word in sys.argv[1:2]] or [250.0, 500.0, 750.0, 1000.0, 2000.0]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    available = sorted(os.sched_getaffinity(0))
    cores = (available[0], available[-1])
    os.sched_setaffinity(0, {cores[0]})
    with tempfile.TemporaryDirectory(prefix="bg-") as folder, _Server(Path(folder)) as bed:
        print(f"{'kind':<16}{'rate':>6}{'due':>8}{'answered':>10}{'failed':>8}{'late':>7}{'p50 ms':>8}{'p99 ms':>8}{'core':>7}  late because of")
        for name, kind in (("keep-alive", {}), ("new connection", {"keep": False})):
            for rate in rates:
                found = measure(f"{bed.url}/", rate, seconds, cores, **kind)
                late, latency = found["late"], found["latency"]
                print(
                    f"{name:<16}{rate:>6g}{found['due']:>8}{found['answered']:>10}{found['failed']:>8}{late['requests']:>7}"
                    f"{(latency['p50'] or 0) * 1000:>8.1f}{(latency['p99'] or 0) * 1000:>8.1f}{found['core']:>7.0%}  {late['why']}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
