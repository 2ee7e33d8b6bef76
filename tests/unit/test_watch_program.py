"""What the watch of development decides: what it looks at, when, what a change is, what a checker said, and what the role may be told."""

from __future__ import annotations

import os
import random
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hotswap.bluegreen.plugins.module_utils import _pack, _watch_rules
from ansible_collections.hotswap.bluegreen.plugins.module_utils._model import Refusal
from ansible_collections.hotswap.bluegreen.plugins.module_utils._watch import _checks, _commands, _eyes, _ignore, _main, _quiet, _round, _settings, _tree
from ansible_collections.hotswap.bluegreen.plugins.plugin_utils import _runtimes, _variables

from tools.bed import PYTHON, alive, wait_until

OURS = _ignore.Ignore(_ignore.DEFAULT)
NOTHING = _ignore.Ignore(())


@pytest.mark.parametrize(
    "name",
    [
        *(
            ".git/index",
            "web/node_modules/a/b.js",
            "vendor/x/y.php",
            "a/__pycache__/b.pyc",
            "runtime/container/proxy.php",
            "app/.x.php.swp",
            "app/x.php~",
            "4913",
        ),
        *(
            "app/x.php___jb_tmp___",
            "app/x.php___jb_old___",
            "app/.#x.php",
            "app/#x.php#",
            ".idea/workspace.xml",
            "app/any.log",
            "storage/framework/views/a.php",
        ),
    ],
)
def test_what_nobody_edits_as_code_is_ignored(name: str) -> None:
    assert OURS.hides(name)


@pytest.mark.parametrize("name", ["app/x.php", "config/autoload/server.php", "app/runtime/x.php", ".env", "app/logs/x.php", "app/vendors.php", "app/tmp/a.py"])
def test_code_is_not_ignored(name: str) -> None:
    assert not OURS.hides(name)


@pytest.mark.parametrize(
    ("patterns", "hidden", "seen"),
    [
        (["*.txt"], ["a.txt", "d/e/a.txt"], ["a.txt.php"]),
        (["/build"], ["build", "build/a"], ["d/build"]),
        (["docs/*.md"], ["docs/a.md"], ["docs/d/a.md", "x/docs/a.md"]),
        (["a/**/z"], ["a/z", "a/b/c/z"], ["b/a/z", "a/zz"]),
        (["**/gen"], ["gen", "d/gen/a"], ["agen"]),
        (["out/**"], ["out/a", "out/b/c"], ["out"]),
        (["cache/"], ["cache/a"], ["cache"]),
        (["x?.[ab]"], ["x1.a"], ["x1.c", "x.a", "x/.a"]),
        (["[!a].py"], ["b.py"], ["a.py"]),
        (["[^a].py"], ["b.py", "^.py"], ["a.py"]),
        ([r"\!x", r"\*"], ["!x", "*"], ["x"]),
        (["*.php", "!keep.php"], ["a.php"], ["keep.php"]),
        (["v", "!v/keep"], ["v/keep"], []),
        (["", " ", "/"], [], ["a"]),
    ],
)
def test_patterns_mean_what_they_mean_in_a_gitignore(patterns: list[str], hidden: list[str], seen: list[str]) -> None:
    ignore = _ignore.Ignore(patterns)

    assert [name for name in hidden if not ignore.hides(name)] == []
    assert [name for name in seen if ignore.hides(name)] == []


def test_patterns_agree_with_git_itself(tmp_path: Path) -> None:
    draw = random.Random(1)
    parts = ["a", "b", "ab", "*", "a*", "**", "?", "[ab]", "[!a]", "[a-b]c"]
    patterns = sorted({("/" if draw.random() < 0.3 else "") + "/".join(draw.choice(parts) for _ in range(draw.randint(1, 3))) for _ in range(60)})
    names = sorted({"/".join(draw.choice(["a", "b", "ab", "ba", "c"]) for _ in range(draw.randint(1, 4))) for _ in range(60)})
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)

    for pattern in patterns:
        (tmp_path / ".git" / "info" / "exclude").write_text(f"{pattern}\n")
        told = subprocess.run(
            ["git", "check-ignore", "--no-index", "--stdin"], cwd=tmp_path, input="\n".join(names), capture_output=True, text=True, check=False
        ).stdout.splitlines()
        assert [name for name in names if _ignore.Ignore([pattern]).hides(name)] == told, pattern


def test_files_that_arrive_over_two_seconds_are_one_change_and_an_endless_stream_is_not_waited_for() -> None:
    quiet = _quiet.Quiet(0.3, 5.0)
    moments = [number * 0.1 for number in range(21)]
    for now in moments:
        quiet.note(now)
        assert not quiet.due(now)
    assert not quiet.due(2.25)
    assert quiet.due(2.31)
    assert not quiet.due(100.0)  # it began anew

    acted = []
    for now in (number * 0.1 for number in range(120)):
        quiet.note(now)
        acted += [now] if quiet.due(now) else []
    assert acted == pytest.approx([5.0, 10.1], abs=0.11)


def test_a_change_is_another_content_a_new_file_or_one_that_is_gone(tmp_path: Path) -> None:
    for name in ("same", "other", "gone"):
        (tmp_path / name).write_text(name)
    before = _tree.look([str(tmp_path)], NOTHING)
    (tmp_path / "same").write_text("same")
    os.utime(tmp_path / "same", (1, 1))
    (tmp_path / "other").write_text("OTHER")
    (tmp_path / "gone").unlink()
    (tmp_path / "new").write_text("")

    after = _tree.look([str(tmp_path)], NOTHING, before)

    assert _tree.changes(before, after) == [f"{tmp_path}/{name}" for name in ("gone", "new", "other")]


def test_a_large_file_has_changed_when_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (1 << 20) + b"x")
    before = _tree.look([str(tmp_path)], NOTHING)
    os.utime(tmp_path / "large", (1, 1))

    assert _tree.changes(before, _tree.look([str(tmp_path)], NOTHING, before)) == [f"{tmp_path}/large"]


def test_links_in_a_circle_pipes_and_what_is_ignored_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "nowhere").symlink_to(tmp_path / "none")
    (tmp_path / "vendor" / "x").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a" / "x.php").write_text("")

    seen = _tree.look([str(tmp_path)], OURS)

    assert set(seen.files) == {f"{tmp_path}/a/x.php"}
    assert set(seen.folders) == {str(tmp_path), f"{tmp_path}/a"}


def test_a_watched_path_inside_an_ignored_directory_is_watched_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "vendor" / "composer").mkdir(parents=True)
    file = tmp_path / "vendor" / "composer" / "installed.json"
    file.write_text("{}")

    assert set(_tree.look([str(tmp_path), str(file)], OURS).files) == {str(file)}


def test_it_is_seen_cheaply_that_a_watched_path_came_went_or_is_another(tmp_path: Path) -> None:
    folder, file = tmp_path / "code", tmp_path / "conf" / "one.ini"
    file.parent.mkdir()
    paths = [str(folder), str(file)]

    def now_and_then(act: Any) -> bool:
        seen = _tree.look(paths, NOTHING)
        assert not _tree.moved(paths, seen)
        act()
        return _tree.moved(paths, seen)

    assert now_and_then(folder.mkdir)
    assert now_and_then(file.touch)
    assert now_and_then(lambda: (folder.rename(tmp_path / "old"), folder.mkdir()))
    assert now_and_then(folder.rmdir)
    assert now_and_then(file.unlink)


class Deaf(_eyes.Eyes):
    """Eyes that are never told of anything."""

    def follow(self, folders: dict[str, Any]) -> bool:
        return False

    def wait(self) -> set[str] | None:
        return set()


def test_a_change_of_which_no_event_tells_is_seen_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_main, "_SURE", 0.0)
    settings = _settings.Settings(program="shop", paths=(str(tmp_path),), debounce=0.0, debounce_max=0.0)
    watch = _main.Watch(settings, Deaf(0, None, print), lambda order: {"problem": "no supervisor here"})
    (tmp_path / "a.txt").write_text("one")

    wait_until(lambda: watch.turn() or "a.txt" in capsys.readouterr().out, 30)


def test_told_to_end_while_it_waits_it_does_nothing_more(tmp_path: Path) -> None:
    stop = threading.Event()
    eyes = _eyes.Eyes(0, stop, print)
    assert eyes.follow({str(tmp_path): (0, 0)})
    stop.set()

    with pytest.raises(SystemExit):
        for _ in range(50):
            eyes.wait()


def test_checks_are_for_the_files_that_they_fit_one_by_one_or_together() -> None:
    checks = (_checks.Check(("*.php",), ("php", "-l", "{file}")), _checks.Check(("*.py", "wsgi"), ("python3", "check", "{files}")))

    due = _checks.due(["/c/a.php", "/c/b.php", "/c/x.py", "/c/wsgi", "/c/y.txt"], checks)

    assert [one.command for one in due] == [("php", "-l", "/c/a.php"), ("php", "-l", "/c/b.php"), ("python3", "check", "/c/x.py", "/c/wsgi")]
    assert [one.files for one in due] == [("/c/a.php",), ("/c/b.php",), ("/c/x.py", "/c/wsgi")]
    assert len(_checks.due([f"/c/{number}.py" for number in range(450)], checks)) == 3


NODE = "/c/a.js:3\nfoo(;\n    ^\n\nSyntaxError: Unexpected token ';'\n    at wrapSafe (node:internal/modules/cjs/loader:1378:20)\n\nNode.js v20.1.0\n"
PHP = 'PHP Parse error:  syntax error, unexpected token "}" in /c/a.php on line 3\nErrors parsing /c/a.php\n'


@pytest.mark.parametrize(
    ("output", "file", "told"),
    [
        (PHP, "/c/a.php", '/c/a.php:3: syntax error, unexpected token "}"'),
        (f"\n{PHP.removeprefix('PHP ')}", "/c/a.php", '/c/a.php:3: syntax error, unexpected token "}"'),
        (NODE, "/c/a.js", "/c/a.js:3: SyntaxError: Unexpected token ';'"),
        ("/c/a.py:7: SyntaxError: invalid syntax\n", "/c/a.py", "/c/a.py:7: SyntaxError: invalid syntax"),
        ("/c/a.rb:2: syntax error, unexpected end-of-input\n", "/c/a.rb", "/c/a.rb:2: syntax error, unexpected end-of-input"),
        ("ruby: /c/a.rb:2: syntax errors found (SyntaxError)\n", "/c/a.rb", "/c/a.rb:2: syntax errors found (SyntaxError)"),
        ("/c/a.go:2:5: expected ';'\n", "/c/a.go", "/c/a.go:2: expected ';'"),
        ("it is wrong\nvery wrong\n", "/c/a.x", "/c/a.x: very wrong"),
        ("", "/c/a.x", "/c/a.x: without a word"),
    ],
)
def test_what_a_checker_says_is_one_line_with_file_and_line(output: str, file: str, told: str) -> None:
    assert _checks.problem(output, [file]) == told


def test_pythons_check_finds_what_python_would_and_leaves_nothing(tmp_path: Path) -> None:
    texts = {"good.py": "x: int = 1\n", "bad.py": "def f(:\n", "tabs.py": "if 1:\n\tx\n        y\n", "nul.py": "x = 1\0\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    check = _checks.DEFAULT[1]
    command = (PYTHON, *check.command[1:-1], *(f"{tmp_path}/{name}" for name in texts))

    ran = _commands.run([command], "/", os.environ, 60)[0]

    assert not ran.ok
    assert [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in ran.output.splitlines()] == ["bad.py:1", "tabs.py:3", "nul.py:1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(texts)


def test_php_itself_finds_a_mistake_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.php").write_text("<?php\nfunction cart() {\n    return [;\n}\n")
    (tmp_path / "b.php").write_text("<?php\necho 1;\n")
    due = _checks.due([f"{tmp_path}/a.php", f"{tmp_path}/b.php"], _checks.DEFAULT)

    ran = _commands.run([one.command for one in due], str(tmp_path), os.environ, 60)

    assert [one.ok for one in ran] == [False, True]
    assert _checks.problem(ran[0].output, due[0].files).startswith(f"{tmp_path}/a.php:3: syntax error, unexpected token")


def test_commands_answer_in_their_order() -> None:
    ran = _commands.run([("sh", "-c", "sleep 0.2; echo one; exit 3"), ("no-such-command",), ("sh", "-c", "echo last")], "/", os.environ, 60)

    assert ran == [_commands.Ran(False, "one\n"), _commands.Ran(False, missing="no-such-command: No such file or directory"), _commands.Ran(True, "last\n")]


def test_a_command_that_is_late_ends_with_its_children(tmp_path: Path) -> None:
    ran = _commands.run([("sh", "-c", "sleep 600 & echo $! > child; wait")], str(tmp_path), os.environ, 2)

    assert ran[0].late and not ran[0].ok
    wait_until(lambda: not alive(int((tmp_path / "child").read_text())), 30)


def test_the_limits_error_names_the_sysctls_and_what_they_are_now() -> None:
    found = {"fs.inotify.max_user_watches": "8192", "fs.inotify.max_user_instances": "128"}

    for error in ("OS file watch limit reached. about [x]", "Error creating recommended watcher: Too many open files (os error 24)"):
        told = _eyes.trouble(error, 9000, found)
        assert "9000" in told and "fs.inotify.max_user_watches = 8192, fs.inotify.max_user_instances = 128" in told and "sysctl" in told
    assert "Function not implemented" in _eyes.trouble("Function not implemented", 1, found)


def test_a_files_name_cannot_forge_a_line() -> None:
    assert _round.plain("a\nb\x1b[31m\u202e.php") == "a?b?[31m?.php"


def told(**changes: Any) -> dict[str, Any]:
    """What the module gives, with its own defaults."""
    first = {name: option.get("default") for name, option in _module().items() if not name.startswith("supervisor_")}
    return {**first, "program": "shop", "paths": ["/home/dev/shop"], "environment_kind": "development", "supervisor": {}, **changes}


def _module() -> dict[str, Any]:
    import runpy

    import yaml

    source = Path(__file__).resolve().parents[2] / "plugins" / "modules" / "watch.py"
    options: dict[str, Any] = yaml.safe_load(runpy.run_path(str(source))["DOCUMENTATION"])["options"]
    return options


def test_the_modules_defaults_are_those_of_the_settings() -> None:
    wanted = _watch_rules.read(told())

    assert wanted.settings == _settings.Settings(program="shop", paths=("/home/dev/shop",))
    assert (wanted.name, wanted.home) == ("shop-watch", "/opt/shop-watch")
    assert _settings.loads(_settings.dumps(wanted.settings)) == wanted.settings


def test_what_is_told_is_read() -> None:
    settings = _watch_rules.read(told(reload="SIGUSR1", build="npm run 'a b'", checks=[{"match": "*.x", "command": "lint {file}"}], paths=["/a/"])).settings

    assert (settings.reload, settings.build, settings.paths) == ("USR1", ("npm", "run", "a b"), ("/a",))
    assert settings.checks == (_checks.Check(("*.x",), ("lint", "{file}")),)
    assert _watch_rules.read(told(checks=[])).settings.checks == ()


def test_without_a_word_on_it_the_reload_is_the_runtimes_own_where_that_loads_all_of_the_code() -> None:
    assert _module()["runtime"]["choices"] == _variables.spec("release")["bluegreen_runtime"]["choices"]
    for name, runtime in _runtimes.RUNTIMES.items():
        assert _watch_rules.SIGNALS.get(name) in (None, runtime.defaults.get("reload_signal"))
        assert _watch_rules.read(told(runtime=name)).settings.reload == _watch_rules.SIGNALS.get(name, "restart")
    assert _watch_rules.read(told(runtime="gunicorn", reload="restart")).settings.reload == "restart"


@pytest.mark.parametrize("kind", [{"environment_kind": "production"}])
def test_it_is_refused_in_production_where_only_taking_it_away_goes(kind: dict[str, str]) -> None:
    with pytest.raises(Refusal, match="bluegreen_environment_kind is production"):
        _watch_rules.read(told(**kind))

    assert _watch_rules.read(told(**kind, state="absent", paths=[])).name == "shop-watch"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"program": "shop web"}, "watch_program is 'shop web'"),
        ({"name": "../x"}, "watch_name is '../x'"),
        ({"home": "opt/x"}, "watch_home is 'opt/x'"),
        ({"home": "/"}, "watch_home is '/'"),
        ({"home": "/opt/a b;c"}, "watch_home is '/opt/a b;c'"),
        ({"paths": []}, "watch_paths is empty"),
        ({"paths": ["code", "/a/../b", "/"]}, "watch_paths has 'code'"),
        ({"debounce": 0.0}, "watch_debounce is 0; seconds from 0.02 to 60"),
        ({"debounce": 9.0}, "watch_debounce_max is 5; not less than watch_debounce"),
        ({"ignore": ["a", "[z-a]"]}, "watch_ignore has '[z-a]', which cannot be understood"),
        ({"poll": -1.0}, "watch_poll is -1"),
        ({"reload": "KILL"}, "watch_reload is 'KILL'"),
        ({"reload": "again"}, "watch_reload is 'again'"),
        ({"health_url": "/health"}, "watch_health_url is '/health'"),
        ({"user": "no-such-user"}, "watch_user is 'no-such-user', who is not on this host"),
        ({"build": "sh -c 'x"}, 'watch_build is "sh -c \'x", which cannot be taken apart'),
        ({"build": {"a": 1}}, "watch_build is {'a': 1}; a list of words"),
        ({"checks": [{"match": "*.php", "command": ["php", "-l"]}]}, "without a file"),
        ({"checks": [{"match": [], "command": "x {file}"}]}, "watch_checks has the match []"),
        ({"watchfiles_version": "latest"}, "watch_watchfiles_version is 'latest'"),
    ],
)
def test_each_broken_rule_is_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refusal) as refused:
        _watch_rules.read(told(**changes))

    assert sentence in str(refused.value)
    assert all(line.endswith(".") for line in str(refused.value).splitlines())


def test_the_one_file_has_what_it_needs_and_nothing_of_ansible() -> None:
    found = _pack.sources("_watch._main")

    assert {"_supervisor", "_model", "_watch._eyes", "_watch._round"} <= set(found)
    assert "_watch_install" not in found
    assert not [name for name, text in found.items() if "import ansible" in text or "from ansible" in text]
