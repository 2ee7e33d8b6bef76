"""Paths inside a release, and a repository's address, as a user writes them: wrong ones in one sentence each, right ones as they are meant."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Wish, dump, load
from ansible_collections.hotswap.bluegreen.plugins.module_utils._parts import Layout

from tests.unit.test_wish import resolve, sentences


def git(url: str = "https://git.example.org/shop.git", version: str = "v1.2") -> dict[str, Any]:
    return {"source": {"git": url, "version": version}}


def config(**entry: Any) -> dict[str, Any]:
    return {"config_files": [{"content": "x", "dest": "config/app.ini", **entry}]}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    # shared and writable paths
    "climbs out": (
        {"shared_paths": ["../etc"]},
        "bluegreen_shared_paths, entry 1 is '../etc', which climbs out of the release; a path without '..' is expected.",
    ),
    "climbs out in the middle": ({"shared_paths": ["a/../../b"]}, "bluegreen_shared_paths, entry 1 is 'a/../../b', which climbs out of the release;"),
    "absolute": ({"shared_paths": ["/var/log"]}, "bluegreen_shared_paths, entry 1 is '/var/log'; a path below the release, such as 'var/log', is expected."),
    "of a home": ({"writable_paths": ["~/x"]}, "bluegreen_writable_paths, entry 1 is '~/x'; a path below the release, such as 'x', is expected."),
    "the whole release": ({"shared_paths": ["./"]}, "bluegreen_shared_paths, entry 1 is './', the whole release; a path below it is expected."),
    "empty path": ({"writable_paths": [""]}, "bluegreen_writable_paths, entry 1 is empty; a path below the release is expected."),
    "two lines": ({"shared_paths": ["a\nb"]}, "bluegreen_shared_paths, entry 1 is 'a\\nb'; a path without control characters is expected."),
    "no path": (
        {"shared_paths": [{"type": "file"}]},
        "bluegreen_shared_paths, entry 1 is a dictionary; a path below the release is expected, or a dictionary with path ",
    ),
    "number": ({"shared_paths": [7]}, "bluegreen_shared_paths, entry 1 is 7; a path below the release is expected, or a dictionary with path and type"),
    "unknown key": ({"shared_paths": [{"path": "a", "kind": "file"}]}, "bluegreen_shared_paths, entry 1 is a dictionary; a path below the release is expected"),
    "unknown type": ({"shared_paths": [{"path": "a", "type": "pipe"}]}, "bluegreen_shared_paths, entry 1: type is 'pipe'; one of directory, file is expected."),
    "file with a slash": ({"shared_paths": [{"path": "a/", "type": "file"}]}, "bluegreen_shared_paths, entry 1: 'a/' ends with a slash and has the type file;"),
    "no list": ({"shared_paths": "storage"}, "bluegreen_shared_paths is a text; a list is expected."),
    "inside another": ({"shared_paths": ["var/log/", "var"]}, "bluegreen_shared_paths: var/log is inside var; name one of them only."),
    "twice": ({"shared_paths": ["var", "./var/"]}, "bluegreen_shared_paths: var is named twice; take one out."),
    "writable inside another": ({"writable_paths": ["a/b/c", "a"]}, "bluegreen_writable_paths: a/b/c is inside a; name one of them only."),
    "writable and shared": (
        {"shared_paths": ["var"], "writable_paths": ["var/cache"]},
        "bluegreen_writable_paths: var/cache is in the shared path var, which is writable anyway; take it out.",
    ),
    # configuration
    "neither": (
        {"config_files": [{"dest": "a"}]},
        "bluegreen_config_files, entry 1 has neither src nor template nor content; one of src, template, content is expected.",
    ),
    "both": (config(src="a"), "bluegreen_config_files, entry 1 has src and content; one of src, template, content is expected."),
    "no dest": ({"config_files": [{"content": "x"}]}, "bluegreen_config_files, entry 1 has no dest; a path below the release is expected."),
    "dest climbs out": (
        config(dest="../.ssh/authorized_keys"),
        "bluegreen_config_files, entry 1: dest is '../.ssh/authorized_keys', which climbs out of the release;",
    ),
    "dest is absolute": (
        config(dest="/etc/shop.ini"),
        "bluegreen_config_files, entry 1: dest is '/etc/shop.ini'; a path below the release, such as 'etc/shop.ini', is ",
    ),
    "dest is a directory": (config(dest="config/"), "bluegreen_config_files, entry 1: dest is 'config/', a directory; name the file in it."),
    "mode that YAML has read": (
        config(mode=0o644),
        "bluegreen_config_files, entry 1: mode is 420; three octal digits that let the owner read, in quotes, such as ",
    ),
    "mode that nobody can read": (
        config(mode="0044"),
        "bluegreen_config_files, entry 1: mode is '0044'; three octal digits that let the owner read, in quotes, such as ",
    ),
    "setuid": (config(mode="4755"), "bluegreen_config_files, entry 1: mode is '4755'; three octal digits that let the owner read"),
    "content that is no text": (
        config(content={"password": "s3cret"}),
        "bluegreen_config_files, entry 1: content is a dictionary; a text is expected: put it in quotes.",
    ),
    "content that is a number": (config(content=4711), "bluegreen_config_files, entry 1: content is a number; a text is expected: put it in quotes."),
    "dest twice": ({"config_files": [config()["config_files"][0]] * 2}, "bluegreen_config_files: config/app.ini is named twice; take one out."),
    "dest is shared": (
        {**config(), "shared_paths": ["config"]},
        "bluegreen_config_files: config/app.ini is in the shared path config, which all releases have in common: it would change under the one that runs.",
    ),
    "dest above what is shared": (
        {**config(dest="config"), "shared_paths": ["config/keys"]},
        "bluegreen_config_files: config is a file, and the shared path config/keys is below it.",
    ),
    "dest is writable": ({**config(dest="var"), "writable_paths": ["var"]}, "bluegreen_config_files: var is a file, and the writable path var is it."),
    # git
    "password": (
        git("https://me:s3cret@git.example.org/shop"),
        "bluegreen_source: git is a URL with a user or password in it, which would be seen in logs. Use ssh",
    ),
    "token": (git("https://s3cret@git.example.org/shop"), "bluegreen_source: git is a URL with a user or password in it, which would be seen in logs."),
    "password of ssh": (git("ssh://git:s3cret@git.example.org/shop"), "bluegreen_source: git is a URL with a user or password in it"),
    "helper": (
        git("ext::sh -c touch% /tmp/owned"),
        "bluegreen_source: git is 'ext::sh -c touch% /tmp/owned'; a URL, host:path, or a path on the controller is expected.",
    ),
    "option as repository": (git("--upload-pack=touch /tmp/owned"), "bluegreen_source: git is '--upload-pack=touch /tmp/owned'; a URL, host:path, or a path"),
    "other scheme": (git("ftp://git.example.org/shop"), "bluegreen_source: git is a URL of 'ftp'; one of https, ssh, git, http, file is expected."),
    "no version": (git(version=""), "bluegreen_source: version is missing; a branch, a tag or a commit is expected."),
    "option as version": (git(version="--output=/etc/passwd"), "bluegreen_source: version is '--output=/etc/passwd'; a branch, a tag or a commit is expected."),
    "range as version": (git(version="a..b"), "bluegreen_source: version is 'a..b'; a branch, a tag or a commit is expected."),
    "expression as version": (git(version="main~3"), "bluegreen_source: version is 'main~3'; a branch, a tag or a commit is expected."),
    "version of a directory": ({"source": {"directory": "a", "version": "v1"}}, "bluegreen_source: version goes with git."),
    "checksum of git": (
        {"source": {**git()["source"], "checksum": "sha256:" + "a" * 64}},
        "bluegreen_source: checksum goes with an archive, not with a directory or git.",
    ),
}


@pytest.mark.parametrize(("given", "sentence"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_told_in_one_sentence(given: dict[str, Any], sentence: str) -> None:
    told = sentences(**given)

    assert len(told) == 1
    assert told[0].startswith(sentence)
    assert told[0].endswith((".", ".'"))
    assert "s3cret" not in told[0]


@pytest.mark.parametrize(
    "url", ["git@git.example.org:shop.git", "ssh://git@git.example.org/shop", "https://git.example.org/a%40b", "../shop.git", "/srv/git/shop"]
)
@pytest.mark.parametrize("version", ["main", "v1.2", "release/2026-11", "a" * 40, "HEAD", "größe", "fix_#4@2"])
def test_a_repository_and_its_version_are_taken_as_they_are(url: str, version: str) -> None:
    source = resolve(**git(url, version)).source

    assert (source.git, source.version) == (url, version)


def test_paths_are_taken_without_what_says_nothing() -> None:
    layout = resolve(
        shared_paths=["storage/", "./var//log", {"path": ".env", "type": "file"}, {"path": "größe"}], writable_paths=["var", "runtime/"]
    ).wish.layout

    assert layout == Layout(("storage", "var/log", "größe"), (".env",), ("var", "runtime"))
    assert layout.shown == "shared: storage, var/log, größe, .env (file); writable: var, runtime"


def test_the_layout_reaches_the_host() -> None:
    wish = resolve(shared_paths='["storage", {"path": ".env", "type": "file"}]').wish

    assert load(Wish, dump(wish)).layout == wish.layout == Layout(("storage",), (".env",))


def test_configuration_is_0600_unless_told_otherwise_and_shows_nothing_of_itself() -> None:
    resolved = resolve(config_files=[{"content": "s3cret", "dest": "a"}, {"template": "b.j2", "dest": "b/c", "mode": "640"}])

    assert [(file.kind, file.dest, file.mode) for file in resolved.configuration] == [("content", "a", 0o600), ("template", "b/c", 0o640)]
    assert "s3cret" not in repr(resolved)
    assert "s3cret" not in str(dump(resolved.wish))
