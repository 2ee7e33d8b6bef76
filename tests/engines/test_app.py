"""The application of the engines' tests, as a process, and the images that it is packed into."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.bed import free_ports, wait_until
from tools.engines import images


@contextlib.contextmanager
def app(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-I", str(images.APP), *words]
    told = {**os.environ, "APP_RELEASE": "7", **environment}
    with subprocess.Popen(command, env=told, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ask(connection: http.client.HTTPConnection, path: str) -> tuple[int, str, str | None]:
    connection.request("GET", path)
    reply = connection.getresponse()
    return reply.status, reply.read().decode().strip(), reply.headers["Connection"]


@contextlib.contextmanager
def served(**environment: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    (port,) = free_ports(1)
    with app("serve", PORT=str(port), **environment) as process:
        assert process.stdout
        assert process.stdout.readline().endswith("7: started\n")
        yield process, port


def test_an_application_that_is_told_to_end_answers_on_until_its_time_is_over_and_nothing_is_under_way() -> None:
    with served(DRAIN="2") as (process, port):
        slow, quick = (http.client.HTTPConnection("127.0.0.1", port, timeout=30) for _ in range(2))
        assert ask(quick, "/")[2] is None  # kept open
        slow.request("GET", "/slow?seconds=4")
        process.send_signal(signal.SIGTERM)
        assert process.stdout
        assert "told to end" in process.stdout.readline()
        assert ask(quick, "/")[::2] == (200, "close")
        assert slow.getresponse().status == 200
        assert process.wait(30) == 0
        assert process.stdout.read().endswith("7: ended\n")


def test_an_application_tells_what_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "shop.conf").write_text("colour = blue\n")
    with served(COLOUR="green") as (_process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        assert ask(connection, "/env?name=COLOUR")[:2] == (200, "green")
        assert ask(connection, f"/file?path={tmp_path}/shop.conf")[:2] == (200, "colour = blue")
        assert ask(connection, f"/file?path={tmp_path}/none")[0] == 404
        assert ask(connection, "/health")[0] == 200


def test_a_broken_application_answers_its_health_check_with_500_or_ends_at_once() -> None:
    with served(APP_BROKEN="500") as (_process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        assert [ask(connection, path)[0] for path in ("/", "/health")] == [200, 500]
    with app("serve", APP_BROKEN="exit") as process:
        assert process.wait(30) == 3
        assert process.stdout
        assert "cannot start" in process.stdout.read()


def test_a_migration_leaves_a_line_and_ends_as_it_is_told(tmp_path: Path) -> None:
    done = tmp_path / "migrations"
    for status in (0, 5):
        with app("migrate", MIGRATIONS=str(done), MIGRATE_STATUS=str(status)) as process:
            assert process.wait(30) == status
    assert done.read_text() == "7\n7\n"


def test_a_worker_works_until_it_is_told_to_end() -> None:
    with app("work") as process:
        assert process.stdout
        assert process.stdout.readline().endswith("7: works\n")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stdout.read().endswith("7: ended its work\n")


def test_an_image_is_the_same_bytes_each_time_and_another_one_for_what_is_different() -> None:
    first = images.app("same-bytes")  # a release of this test alone: others load theirs meanwhile
    bytes_ = first.tar.read_bytes()
    first.tar.unlink()
    assert images.app("same-bytes") == first
    assert first.tar.read_bytes() == bytes_
    others = [images.app("2"), images.app("same-bytes", "500"), images.app("same-bytes", health=False), images.nginx()]
    assert len({image.id for image in (first, *others)}) == 5
    assert [image.name.partition(":")[2] for image in others] == ["2", "same-bytes-500", "same-bytes-nohealth", "1"]


def test_the_name_of_an_image_is_known_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert images.app("1", "exit").name == "hotswap-bluegreen-app:1-exit"
    assert not list(tmp_path.iterdir())


def test_an_image_that_is_broken_in_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match=r"broken is one of .*: strange"):
        images.app("1", "strange")


def test_an_archive_that_could_not_be_written_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError), images._draft(tmp_path / "image.tar"):
        raise OSError("disk full")
    assert wait_until(lambda: not list(tmp_path.iterdir()), 0)
