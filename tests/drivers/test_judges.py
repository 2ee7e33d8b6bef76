"""Who else judges a canary: a real Prometheus, servers that are none, and commands. What is said of them holds no secret."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _processes
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary import Opinion
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._canary_rules import Judge
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils._judges import Panel

from tools import bed as beds

SECRET = "hunter2"


def asked(*judges: Judge, folder: str = "/", seconds: float = 60) -> tuple[list[Opinion], list[str]]:
    """What all of them say in the end, and the warnings."""
    warnings: list[str] = []
    panel = Panel(judges, {"BLUEGREEN_SERVICE": "shop"}, folder, warnings.append)
    panel.begin(5)
    beds.wait_until(lambda: all(opinion.verdict != "pending" for opinion in panel.opinions()), seconds, "every judge's opinion")
    return list(panel.opinions()), warnings


def opinion(judge: Judge, folder: str = "/") -> tuple[str, str]:
    (found,), warnings = asked(judge, folder=folder)
    assert len(warnings) == (found.verdict == "unknown")
    assert SECRET not in found.words + "".join(warnings)
    return found.verdict, found.words


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real one, with nothing to scrape: it answers queries that need no samples."""
    folder = tmp_path_factory.mktemp("prometheus")
    folder.chmod(0o755)
    (folder / "prometheus.yml").write_text("{}\n")
    (folder / "data").mkdir()
    (port,) = beds.free_ports(1)
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "GOMAXPROCS": "1"})
    url = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
        return False

    try:
        beds.wait_until(ready, 60, "Prometheus")
        yield url
    finally:
        beds.end(process.pid)
        process.wait()


@pytest.mark.parametrize(
    ("query", "verdict", "words"),
    [
        ("vector(0.01)", "good", "the query gives 0.01, at most 0.02 is expected"),
        ("scalar(vector(0.02))", "good", "the query gives 0.02, at most 0.02 is expected"),
        ("vector(0.03)", "worse", "the query gives 0.03, at most 0.02 is expected"),
        ("vector(0) / 0", "unknown", "the query gives nan, which is no number to judge by"),
        ("vector(1) / 0", "unknown", "the query gives inf, which is no number to judge by"),
        ("not_there", "unknown", "the query gives no values, one is expected"),
        ('vector(1) or label_replace(vector(2), "a", "b", "", "")', "unknown", "the query gives 2 values, one is expected"),
        ("'text'", "unknown", "status 200, and no answer of a Prometheus to a query for one number"),
        (f"sum({SECRET}", "unknown", "status 400, the query was not answered (bad_data)"),
    ],
)
def test_a_prometheus_judges_by_one_number(prometheus: str, query: str, verdict: str, words: str) -> None:
    assert opinion(Judge(1, prometheus, query, 0.02)) == (verdict, words)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Not a Prometheus: it answers by its path, and repeats what it was asked."""

    class Rude(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind = self.path.split("/")[1]
            body = {"good": '{"status":"success","data":{"resultType":"scalar","result":[0,"0"]}}', "odd": '{"status":"success","data":[1]}'}.get(kind, SECRET)
            self.send_response({"denied": 401, "moved": 302}.get(kind, 200))
            self.send_header("Location", "/good/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                for letter in body:
                    self.wfile.write(letter.encode())
                    time.sleep(0.5 if kind == "slow" else 0)

        def log_message(self, *_words: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Rude) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("denied", "status 401, and no answer of a Prometheus to a query for one number"),
        ("moved", "status 302, and no answer of a Prometheus to a query for one number"),
        ("odd", "status 200, and no answer of a Prometheus to a query for one number"),
        ("slow", "no whole answer (IncompleteRead)"),
    ],
)
def test_a_server_that_is_none_could_not_judge_and_is_not_repeated(server: str, path: str, words: str) -> None:
    assert opinion(Judge(1, f"{server}/{path}", SECRET, headers={"Authorization": SECRET}, timeout=1)) == ("unknown", words)


def test_one_that_is_not_there_could_not_judge() -> None:
    (port,) = beds.free_ports(1)
    assert opinion(Judge(1, f"http://127.0.0.1:{port}", SECRET)) == ("unknown", "no answer (Connection refused)")


def script(folder: Path, text: str) -> Judge:
    path = folder / "judge.py"
    path.write_text(text)
    return Judge(7, command=(sys.executable, str(path), SECRET), timeout=30)


@pytest.mark.parametrize(
    ("text", "verdict", "words"),
    [
        ("", "good", "exit status 0, it printed nothing"),
        ("print('p95 is 3 s'); raise SystemExit(1)", "worse", "exit status 1, its last lines: p95 is 3 s"),
        ("raise SystemExit(2)", "unknown", "exit status 2, it printed nothing"),
        ("import os; print(os.environ['BLUEGREEN_SERVICE'], os.environ['BLUEGREEN_WEIGHT'], os.getcwd() != '/')", "good", "shop 5 True"),
    ],
)
def test_a_commands_exit_status_is_its_judgement(tmp_path: Path, text: str, verdict: str, words: str) -> None:
    found = opinion(script(tmp_path, text), str(tmp_path))
    assert found[0] == verdict
    assert words in found[1]


def test_a_command_that_hangs_is_ended_with_what_it_has_started(tmp_path: Path) -> None:
    text = f"import subprocess; p = subprocess.Popen(['sleep', '600']); open({str(tmp_path / 'pid')!r}, 'w').write(str(p.pid)); p.wait()"
    judge = Judge(1, command=script(tmp_path, text).command, timeout=3)
    assert opinion(judge) == ("unknown", "it was still running, and was ended, it printed nothing")
    child = int((tmp_path / "pid").read_text())
    beds.wait_until(lambda: not _processes.children(child) and not beds.alive(child), what="the end of the judge's child")


def test_a_command_that_is_not_there_could_not_judge() -> None:
    assert opinion(Judge(1, command=("/not/there",))) == ("unknown", "it cannot be run (No such file or directory)")


def test_nobody_waits_for_a_judge_and_it_is_asked_again_after_a_while_and_in_the_next_step(tmp_path: Path) -> None:
    now = [100.0]
    log = tmp_path / "asked"
    judge = script(tmp_path, f"import os; open({str(log)!r}, 'a').write(os.environ['BLUEGREEN_WEIGHT'] + ' ')")
    warnings: list[str] = []
    panel = Panel([judge], {}, "/", warnings.append, lambda: now[0])

    def answered() -> bool:
        return panel.opinions()[0].verdict == "good"

    panel.begin(5)
    began = time.monotonic()
    assert panel.opinions() == (Opinion(judge.name, "pending"),)
    assert time.monotonic() - began < 5
    beds.wait_until(answered, 60, "the first opinion")
    assert [answered() for _ in range(3)] == [True] * 3
    assert [thread.name for thread in threading.enumerate() if thread.name == "judge"] == [], "it is not asked at each look"
    assert log.read_text() == "5 "
    now[0] += 10
    beds.wait_until(lambda: answered() and log.read_text() == "5 5 ", 60, "the second one")
    panel.begin(20.5)
    assert panel.opinions()[0].verdict == "pending", "what it said of one step says nothing of the next"
    beds.wait_until(lambda: answered() and log.read_text() == "5 5 20.5 ", 60, "that of the next step")


def test_a_judge_that_keeps_its_thread_is_given_up_and_warned_of_once(tmp_path: Path) -> None:
    now = [100.0]
    warnings: list[str] = []
    release = tmp_path / "go"
    os.mkfifo(release)
    judge = Judge(1, command=("cat", str(release)), timeout=30)
    panel = Panel([judge], {}, "/", warnings.append, lambda: now[0])
    panel.begin(5)
    panel.opinions()
    now[0] += 33
    assert panel.opinions() == (Opinion(judge.name, "unknown", "it did not answer within 30 s"),)
    assert warnings == ["bluegreen_canary_judges, entry 1 (cat) could not judge the canary: it did not answer within 30 s"]
    release.write_text("")
