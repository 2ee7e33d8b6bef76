"""Bad input on a real host: each kind is told in one clear sentence, and nothing is changed."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import socket
import stat
import tarfile
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios import plays
from tools import bed as beds

SECRET = "hunter2-marker"
NOTHING = "Nothing was changed."


class Host(beds.Bed):
    """A bed whose nginx has workers of another user, as distributions have them."""

    worker = "nobody nogroup"


@pytest.fixture(scope="module")
def bed() -> Iterator[beds.Bed]:
    """A host on which release v1 of the service runs, set up by a root whose umask is closed, as hardened hosts have it."""
    hardened = ("sh", "-c", 'umask 077; exec "$@"', "sh")
    with tempfile.TemporaryDirectory(prefix="bg-") as folder:
        Path(folder).chmod(0o755)  # nginx's workers go through it
        with Host(Path(folder) / "host") as bed:
            for playbook in ("install", "release"):
                done = plays.run(bed.path / "plays", f"hotswap.bluegreen.{playbook}", {"app1": {}}, {**bed.variables, **plays.RELEASE}, before=hardened)
                assert done.returncode == 0, done.stdout + done.stderr
            yield bed


@dataclass(frozen=True)
class Told:
    """What a run with bad input said, task by task, and what it changed."""

    sentences: dict[str, list[str]]
    changes: dict[str, Any]
    output: str


Cases = dict[str, tuple[dict[str, Any], str]]  # what is set, and the sentence that it must give


def tell(bed: beds.Bed, playbook: str, *words: str, folders: bool = True, variables: dict[str, Any] | None = None, **options: Any) -> Told:
    """Run a playbook and compare the host with what it was. ``folders``: the times of directories, too."""
    before = {**plays.picture(bed, folders), **plays.pids(bed)}
    result = plays.run(bed.path / "plays", playbook, {"app1": {}}, {**bed.variables, **plays.RELEASE, **(variables or {})}, *words, **options)
    after = {**plays.picture(bed, folders), **plays.pids(bed)}
    changes = {name: (before.get(name), after.get(name)) for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return Told({name: message.splitlines() for name, message in plays.failures(result).items()}, changes, result.stdout + result.stderr)


def tell_of_each(bed: beds.Bed, cases: Cases, task: dict[str, Any], first: Sequence[dict[str, Any]] = (), **options: Any) -> Told:
    """Do the task once for each case, in one run, with what the case sets."""
    variables = {name: {f"bluegreen_{key}": value for key, value in own.items()} for name, (own, _sentence) in cases.items()}
    site = plays.book(bed.path / "plays", {"tasks": [*first, *plays.attempts(variables, [task])]})
    return tell(bed, site, **options)


def test_a_closed_umask_shuts_nginx_s_workers_out_of_nothing(bed: beds.Bed) -> None:
    with urllib.request.urlopen(f"{bed.url}/", timeout=10) as answer:
        assert json.load(answer)["release"] == "v1"


# The host is not fit: found by the preflight


def unfit(bed: beds.Bed) -> Cases:
    """Hosts that are not fit, each in one way. The files for it are made beside the bed."""
    folder = bed.path.parent / "unfit"
    folder.mkdir()
    supervisor, nginx = (bed.path / "supervisord.conf").read_text(), (bed.path / "nginx.conf").read_text()
    (folder / "broken.conf").write_text(nginx.replace("http {", "http {\n    no_such_directive on;"))
    for name in ("stopped", "killed"):
        (folder / f"{name}.conf").write_text(supervisor.replace(f"{bed.path}/supervisor.sock", f"{folder}/{name}.sock"))
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"{folder}/killed.sock")
    (folder / "elsewhere.conf").write_text(supervisor.replace("/programs/", "/programmes/"))
    (folder / "file").write_text("")
    return {
        "supervisor stopped": (
            {"supervisor_config": f"{folder}/stopped.conf"},
            f"supervisor: its socket {folder}/stopped.sock is not there, so supervisord does not run. Start it.",
        ),
        "supervisor killed": (
            {"supervisor_config": f"{folder}/killed.conf"},
            f"supervisor: nobody answers on its socket {folder}/killed.sock, so supervisord does not run. Start it.",
        ),
        "supervisor not installed": (
            {"supervisor_config": f"{folder}/absent.conf"},
            f"supervisor: its configuration {folder}/absent.conf is not there. Install supervisor, or set bluegreen_supervisor_config "
            "(or bluegreen_supervisor_socket).",
        ),
        "supervisor reads elsewhere": (
            {"supervisor_config": f"{folder}/elsewhere.conf"},
            f"supervisor does not read {bed.path}/programs: add {bed.path}/programs/*.conf to [include] files of "
            f"{folder}/elsewhere.conf, or set bluegreen_supervisor_program_dir.",
        ),
        "nginx not installed": (
            {"nginx_command": f"{folder}/nginx"},
            f"nginx: the command {folder}/nginx is not there. Install nginx, or set bluegreen_nginx_command.",
        ),
        "nginx without configuration": (
            {"nginx_config": f"{folder}/absent.conf"},
            f"nginx: its configuration {folder}/absent.conf is not there; set bluegreen_nginx_config.",
        ),
        "nginx already broken": (
            {"nginx_config": f"{folder}/broken.conf"},
            'nginx: its configuration was broken before we came: [emerg] unknown directive "no_such_directive" in '
            f"{folder}/broken.conf:7. Mend it, then run again.",
        ),
        "nginx stopped": (
            {"nginx_pid_file": f"{folder}/nginx.pid"},
            f"nginx does not run: no live process in its pid file {folder}/nginx.pid (bluegreen_nginx_pid_file).",
        ),
        "other slots than installed": (
            {"slots": [{"name": "blue", "port": bed.blue}, {"name": "green", "port": bed.port + 9}]},
            "nginx: its pools are of other slots than bluegreen_slots and lack app1/green on 127.0.0.1 "
            f"{{'http': {bed.port + 9}}}: run hotswap.bluegreen.install.",
        ),
        "unknown user": ({"user": "nobody-of-us"}, "bluegreen_user: this host has no user 'nobody-of-us'."),
        "root not installed": ({"root": f"{folder}/root"}, f"{folder}/root/releases is not there."),
        "file for a root": ({"root": f"{folder}/file/root"}, f"{folder}/file is not a directory. Move it away, or set another one."),
        "undefined in a template": ({"environment": {"DB": "{{ no_such_variable }}"}}, "bluegreen_environment cannot be resolved: "),
    }


UNFIT = (
    *("supervisor stopped", "supervisor killed", "supervisor not installed", "supervisor reads elsewhere", "nginx not installed", "nginx already broken"),
    *("nginx without configuration", "nginx stopped", "other slots than installed", "unknown user", "root not installed", "file for a root"),
    "undefined in a template",
)


@pytest.fixture(scope="module")
def unfit_hosts(bed: beds.Bed) -> tuple[Told, Cases]:
    cases = unfit(bed)
    return tell_of_each(bed, cases, {"hotswap.bluegreen.preflight": {}}), cases


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_host_is_told_in_one_sentence(case: str, unfit_hosts: tuple[Told, Cases]) -> None:
    told, cases = unfit_hosts

    first, *more = told.sentences[case]

    assert first.startswith(cases[case][1])
    assert more in ([NOTHING], [f"{NOTHING} Run hotswap.bluegreen.install on this host first."])


def test_nothing_is_changed_on_an_unfit_host(unfit_hosts: tuple[Told, Cases]) -> None:
    told, cases = unfit_hosts

    assert set(told.sentences) == set(cases) == set(UNFIT), told.output
    assert told.changes == {}
    assert "Traceback" not in told.output


# The release is not what it should be: found while staging


def app(command: bytes = b"", mode: int = 0o755) -> list[tuple[tarfile.TarInfo, bytes]]:
    """The entries of a release with ``bin/server``."""
    entry = tarfile.TarInfo("bin/server")
    entry.mode, entry.size = mode, len(command)
    return [(entry, command)]


def archive(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> str:
    with tarfile.open(path, mode) as tar:
        for entry, content in entries:
            tar.addfile(entry, io.BytesIO(content))
    return str(path)


def cut(path: Path, source: str, size: int) -> str:
    path.write_bytes(Path(source).read_bytes()[:size])
    return str(path)


def bad_releases(bed: beds.Bed) -> Cases:
    """Releases that are not what they should be, each in one way. The archives are made beside the bed."""
    folder = bed.path.parent / "sources"
    folder.mkdir()
    (folder / "hollow").mkdir()
    good = archive(folder / "good.tar.gz", app(os.urandom(4096)))
    plain = archive(folder / "good.tar", app(os.urandom(4096)), "w")
    digest = hashlib.sha256(Path(good).read_bytes()).hexdigest()
    wrong = f"sha256:{'0' * 64}"
    nowhere = f"http://127.0.0.1:{beds.free_ports(1)[0]}/shop.tar.gz"
    (folder / "text.tar.gz").write_text("<html>Not found</html>")
    (folder / "nothing.tar.gz").write_bytes(b"")

    def source(name: str = good, command: str = "bin/server", **more: Any) -> dict[str, Any]:
        return {"release": "v2", "command": command, "source": {"archive": name, **more}}

    def inside(name: str, entries: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w:gz") -> dict[str, Any]:
        return source(archive(folder / name, entries, mode))

    return {
        "checksum wrong": (source(checksum=wrong), f"{good} has the checksum sha256:{digest}, expected {wrong}. Nothing was unpacked."),
        "checksum wrong on the host": (
            source(checksum=wrong, remote_src=True),
            f"{good} has the checksum sha256:{digest}, expected {wrong}. Nothing was unpacked.",
        ),
        "truncated": (source(cut(folder / "cut.tar.gz", good, 2000)), f"{folder}/cut.tar.gz is cut short or damaged: "),
        "truncated in its head": (source(cut(folder / "head.tar.gz", good, 5)), f"{folder}/head.tar.gz is cut short or damaged: "),
        "truncated between entries": (source(cut(folder / "cut.tar", plain, 512 + 4096)), f"{folder}/cut.tar is cut short: the end of the archive is missing."),
        "empty file": (source(f"{folder}/nothing.tar.gz"), f"{folder}/nothing.tar.gz is empty. Was it uploaded completely?"),
        "no archive": (source(f"{folder}/text.tar.gz"), f"{folder}/text.tar.gz is not an archive that can be unpacked (tar.gz, tar.bz2, tar.xz, zip)"),
        "archive without a file": (inside("none.tar.gz", []), f"{folder}/none.tar.gz is an archive without a file."),
        "archive absent": (source(f"{folder}/absent.tar.gz"), f"bluegreen_source: the archive '{folder}/absent.tar.gz' is not on the controller; "),
        "archive absent on the host": (source(f"{folder}/absent.tar.gz", remote_src=True), f"bluegreen_source: {folder}/absent.tar.gz is not on this host."),
        "entry outside": (
            inside("out.tar.gz", [*app(), (tarfile.TarInfo("../out"), b"")]),
            f"{folder}/out.tar.gz: its entry '../out' would land outside the release. Nothing of it is used.",
        ),
        "nobody answers on the URL": (source(nowhere), f"cannot fetch {nowhere}: "),
        "directory absent": ({"release": "v2", "source": {"directory": f"{folder}/absent"}}, f"bluegreen_source: the directory '{folder}/absent' is not on "),
        "directory empty": ({"release": "v2", "source": {"directory": f"{folder}/hollow"}}, f"bluegreen_source: the directory {folder}/hollow is empty."),
        "other content": (
            {**source(), "release": "v1"},
            f"release v1 is already in {bed.path}/srv/releases with other content (",
        ),
        "command absent": (source(command="bin/no-server"), "bluegreen_command: release v2 has no bin/no-server."),
        "command a directory deeper": (
            inside("deep.tar.gz", [(_moved(entry, "shop-2"), content) for entry, content in app()]),
            "bluegreen_command: release v2 has no bin/server. It is below shop-2/: set bluegreen_source's strip to 1.",
        ),
        "command not executable": (
            inside("mode.tar.gz", app(mode=0o644)),
            "bluegreen_command: bin/server of release v2 is not an executable file.",
        ),
        "build failed": (
            {**source(), "build": "echo broken; env | grep TOKEN; exit 3", "environment": {"TOKEN": SECRET}},
            "bluegreen_build 'echo broken; env | grep TOKEN; exit 3' ended with exit status 3 in release v2. Its last lines:",
        ),
        "build too slow": (
            {**source(), "build": "sleep 30", "build_timeout": 0.2},
            "bluegreen_build 'sleep 30' took longer than bluegreen_build_timeout (0.2 s)",
        ),
    }


def _moved(entry: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    entry.name = f"{folder}/{entry.name}"
    return entry


BAD_RELEASES = (
    *("checksum wrong", "checksum wrong on the host", "truncated", "truncated in its head", "truncated between entries", "empty file", "no archive"),
    *("archive without a file", "archive absent", "archive absent on the host", "entry outside"),
    *("nobody answers on the URL", "directory absent", "directory empty", "other content", "command absent", "command a directory deeper"),
    *("command not executable", "build failed", "build too slow"),
)
LOCK: list[dict[str, Any]] = [{"hotswap.bluegreen.preflight": {}}, {"hotswap.bluegreen.lock": {}}]


@pytest.fixture(scope="module")
def releases(bed: beds.Bed) -> tuple[Told, Cases]:
    cases = bad_releases(bed)
    return tell_of_each(bed, cases, {"hotswap.bluegreen.stage": {}}, first=LOCK, folders=False), cases


@pytest.mark.parametrize("case", BAD_RELEASES)
def test_a_bad_release_is_told_in_one_sentence(case: str, releases: tuple[Told, Cases]) -> None:
    told, cases = releases

    first, *more = told.sentences[case]

    assert first.startswith(cases[case][1])
    assert more[:-1] == (["  broken", "  TOKEN=********"] if case == "build failed" else [])
    assert more[-1] == "Nothing that serves was touched."


def test_nothing_is_changed_by_a_bad_release(releases: tuple[Told, Cases]) -> None:
    told, cases = releases

    assert set(told.sentences) == set(cases) == set(BAD_RELEASES), told.output
    assert told.changes == {}
    assert "Traceback" not in told.output
    assert SECRET not in told.output


# The host does not let us


def without_rights(*command: str) -> tuple[str, ...]:
    """A command that starts another one as this very user, but without root's right to write what is closed to it."""
    return ("setpriv", "--bounding-set=-dac_override,-fowner", *command) if os.geteuid() == 0 else command


@contextlib.contextmanager
def closed(path: Path, mode: int = 0o555) -> Iterator[None]:
    """The directory or socket with this mode for a while."""
    before, times = stat.S_IMODE(path.stat().st_mode), path.stat()
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_root_that_may_not_be_written_is_told(bed: beds.Bed) -> None:
    releases = bed.path / "srv" / "releases"
    with closed(releases):
        told = tell(bed, "hotswap.bluegreen.release", before=without_rights())

    assert told.sentences["Resolve and check every host's variables"] == [
        f"no permission to write {releases}. Use become, or give this user the directory.",
        NOTHING,
    ]
    assert told.changes == {}


def stall(bed: beds.Bed) -> dict[str, Any]:
    """The variables of another service, that is not installed yet."""
    blue, green, listen = beds.free_ports(3)
    return {
        "bluegreen_service": "stall",
        "bluegreen_slots": [{"name": "blue", "port": blue}, {"name": "green", "port": green, "backup": True}],
        "bluegreen_listen": f"127.0.0.1:{listen}",
        "bluegreen_root": f"{bed.path}/stall",
    }


def test_a_root_that_may_not_be_made_is_told_before_anything_is_installed(bed: beds.Bed) -> None:
    folder = bed.path.parent / "closed"
    folder.mkdir(mode=0o555)
    told = tell(bed, "hotswap.bluegreen.install", variables={**stall(bed), "bluegreen_root": f"{folder}/stall"}, before=without_rights())

    assert [*told.sentences.values()] == [[f"no permission to write {folder}. Use become, or give this user the directory.", NOTHING]]
    assert told.changes == {}


def test_a_supervisor_s_socket_that_is_closed_to_us_is_told(bed: beds.Bed) -> None:
    with closed(bed.path / "supervisor.sock", 0):
        told = tell(bed, "hotswap.bluegreen.release", before=without_rights())

    assert told.sentences["Resolve and check every host's variables"] == [
        f"supervisor: no permission to use its socket {bed.path}/supervisor.sock. Use become, or give this user access.",
        NOTHING,
    ]


def test_a_link_that_nginx_s_workers_cannot_follow_is_told(bed: beds.Bed) -> None:
    folder = bed.path / "bluegreen"
    with closed(folder, 0o700):
        told = tell(bed, "hotswap.bluegreen.release")

    assert told.sentences["Resolve and check every host's variables"] == [
        f"nginx: its worker may not search {folder}, so it could not follow the link {folder}/shop/active: chmod o+x {folder}.",
        NOTHING,
    ]
    assert told.changes == {}


def test_a_port_that_another_program_holds_is_told_with_its_name_before_anything_is_installed(bed: beds.Bed) -> None:
    variables = stall(bed)
    port = variables["bluegreen_slots"][0]["port"]
    with socket.create_server(("127.0.0.1", port)):
        told = tell(bed, "hotswap.bluegreen.install", variables=variables)

    ((first, *more),) = told.sentences.values()
    assert first.startswith(f"bluegreen_slots: port {port} of blue is in use by pid {os.getpid()} (")
    assert first.endswith("), not by the program stall-blue. Free it, or give the slot another port.")
    assert more == [NOTHING]
    assert told.changes == {}


@pytest.mark.full
def test_a_missing_nginx_is_told_before_anything_is_installed(bed: beds.Bed) -> None:
    told = tell(bed, "hotswap.bluegreen.install", variables={**stall(bed), "bluegreen_nginx_command": "/nowhere/nginx"})

    assert [*told.sentences.values()] == [["nginx: the command /nowhere/nginx is not there. Install nginx, or set bluegreen_nginx_command.", NOTHING]]
    assert told.changes == {}


@pytest.mark.full
def test_a_disk_that_is_too_full_for_the_release_is_told(bed: beds.Bed) -> None:
    """The root is a file system of 80 MB that only this run sees; 64 MB shall stay free, three copies of 8 MB do not fit."""
    root = bed.path.parent / "disk"
    source = bed.path.parent / "big"
    root.mkdir()
    source.mkdir()
    (source / "zeros").write_bytes(bytes(8 << 20))
    script = f'mount -t tmpfs -o size=80m none {root} && mkdir {root}/releases {root}/blue {root}/green && "$@"; status=$?; ls -AR {root} >&2; exit $status'
    namespace = ("unshare", "-m") if os.geteuid() == 0 else ("unshare", "-rm")
    told = tell(
        bed,
        "hotswap.bluegreen.release",
        variables={"bluegreen_root": str(root), "bluegreen_release": "v2", "bluegreen_source": {"directory": str(source)}},
        before=(*namespace, "sh", "-c", script, "sh"),
        folders=False,
    )

    (first, last) = told.sentences["Stage the release"]
    assert first.startswith(f"the disk of {root} has ")
    assert first.endswith(" MB free; release v2 (one copy and one a slot) needs 24 MB, and 64 MB shall stay free. Make room, or move bluegreen_root.")
    assert last == "Nothing that serves was touched."
    assert told.changes == {}
    assert told.output.endswith(f"\n{root}/releases:\n.lock\n"), "no draft is left"


# The swap is not made for it


KEYWORDS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "serial": ({"serial": 1}, {"hotswap.bluegreen.swap": {}}, "serial"),
    "free": ({"strategy": "free"}, {"hotswap.bluegreen.preflight": {}}, "strategy: free"),
    "loop": ({}, {"hotswap.bluegreen.swap": {}, "loop": [1, 2]}, "loop"),
    "delegate_to": ({}, {"hotswap.bluegreen.swap": {}, "delegate_to": "app1"}, "delegate_to"),
    "loop and delegate_to": ({}, {"hotswap.bluegreen.swap": {}, "with_items": [1], "delegate_to": "app1"}, "loop and delegate_to"),
}


@pytest.fixture(scope="module")
def keywords(bed: beds.Bed) -> Told:
    made = [{**play, "tasks": plays.attempts({name: {}}, [task])} for name, (play, task, _words) in KEYWORDS.items()]
    first = {"tasks": [{"hotswap.bluegreen.preflight": {}}]}
    return tell(bed, plays.book(bed.path / "plays", first, *made))


@pytest.mark.parametrize("case", KEYWORDS)
def test_a_keyword_that_would_break_the_walk_is_told(case: str, keywords: Told) -> None:
    assert keywords.sentences[case][0] == (
        f"{KEYWORDS[case][2]} cannot be used with hotswap.bluegreen.swap: it walks all hosts of the play in one task, one member at a time. Take it away."
    )
    assert keywords.sentences[case][1:] == [NOTHING]


def test_nothing_is_changed_with_such_a_keyword(keywords: Told) -> None:
    assert keywords.changes == {}
    assert "Traceback" not in keywords.output


def test_the_swap_alone_under_another_strategy_is_refused_by_ansible(bed: beds.Bed) -> None:
    told = tell(bed, plays.book(bed.path / "plays", {"strategy": "free", "tasks": [{"hotswap.bluegreen.swap": {}}]}))

    assert "bypasses the host loop, which is currently not supported in the free strategy" in " ".join(told.output.split())
    assert told.changes == {}


# What the user's own play says of the roles


def test_a_role_s_wrong_variable_is_told_in_our_words_and_not_in_a_page_of_ansible_s(bed: beds.Bed) -> None:
    site = plays.book(bed.path / "plays", {"roles": ["hotswap.bluegreen.release"], "tasks": [{"hotswap.bluegreen.swap": {}}]})
    told = tell(bed, site, variables={"bluegreen_drain_timeout": "soon", "bluegreen_srvice": "shop"})

    (sentences,) = told.sentences.values()
    assert sentences == [
        "bluegreen_srvice is no variable of hotswap.bluegreen; did you mean bluegreen_service?",
        "bluegreen_drain_timeout is 'soon'; a number is expected.",
        NOTHING,
    ]
    assert told.changes == {}
    assert len(told.output) < 2000


# Secrets


def test_a_secret_of_the_environment_is_nowhere_to_be_read(bed: beds.Bed) -> None:
    """Two releases at the highest verbosity: a good one, and one whose build and whose program fail."""
    good = {"bluegreen_release": "v2", "bluegreen_environment": {"TOKEN": SECRET}}
    bad = {"bluegreen_release": "v3", "bluegreen_build": "echo $TOKEN; exit 1", "bluegreen_environment": {"TOKEN": SECRET}}
    outputs = []
    for variables, status in ((good, 0), (bad, 2)):
        result = plays.run(
            bed.path / "plays",
            "hotswap.bluegreen.release",
            {"app1": {}},
            {**bed.variables, **plays.RELEASE, **variables},
            "--diff",
            ANSIBLE_VERBOSITY="3",
        )
        assert result.returncode == status, result.stdout + result.stderr
        outputs.append(result.stdout + result.stderr)

    holders = [path for path in bed.path.rglob("*") if path.is_file() and "plays" not in path.parts and SECRET.encode() in path.read_bytes()]
    assert [SECRET in output for output in outputs] == [False, False]
    assert [path.parent.name for path in holders] == [".launch", ".launch"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o700}
    assert SECRET.encode() in Path(f"/proc/{plays.pids(bed)['shop-blue'].rstrip(',')}/environ").read_bytes()
