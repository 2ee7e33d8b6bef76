"""The documentation as a site in build/site, made offline: the pages as they stand on a forge, and the reference from the specs.

python -m tools.site            build it; the first warning ends it
python -m tools.site --out DIR  into another directory

The navigation is docs/index.md: its sections and the links in them. A page that it does not name ends the build.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import yaml

from tools.bed import BUILD, ROOT, environment

BIN = Path(sys.executable).parent
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_FENCES = re.compile(r"^( *```.*?^ *```[^\n]*$)", re.DOTALL | re.MULTILINE)
# What the reference names of ansible-core's own documentation: label, page, title.
_ANSIBLE = {
    "action_plugins": ("plugins/action.html#action-plugins", "Action plugins"),
    "ansible_configuration_settings": ("reference_appendices/config.html#ansible-configuration-settings", "Ansible Configuration Settings"),
    "common_return_values": ("reference_appendices/common_return_values.html#common-return-values", "Return Values"),
}
_ENTRY = """<!doctype html>
<meta charset="utf-8"><title>hotswap.bluegreen</title>
<meta http-equiv="refresh" content="0; url=docs/index.html"><a href="docs/index.html">hotswap.bluegreen</a>
"""


class SiteError(Exception):
    """Why there is no site, in a sentence."""


def pages() -> list[Path]:
    """What readers of the project read, on a forge and here."""
    tops = [path for path in sorted(ROOT.glob("*.md")) if path.name.isupper() or path.name.startswith(("README", "CODE_OF", "CONTRIBUTING", "SECURITY"))]
    return [*tops, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("README.md")), *sorted((ROOT / "roles").glob("*/README.md"))]


def stage(source: Path) -> None:
    """Lay the pages out as in the checkout, with what they show and link to, and the navigation behind the start page."""
    for page in pages():
        target = source / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(prepared(page, source))
    start = source / "docs" / "index.md"
    start.write_text(start.read_text() + navigation(ROOT / "docs" / "index.md"))
    for name, path in {"conf.py": "docs/conf.py", "galaxy.yml": "galaxy.yml", "LICENSE": "LICENSE"}.items():
        shutil.copy(ROOT / path, source / name)
    shutil.copytree(ROOT / "docs" / "site", source / "docs" / "site")
    (source / "changelog.md").write_text(changelog())
    (source / "ansible.inv").write_bytes(inventory())


def prepared(page: Path, source: Path) -> str:
    """The page without its comments; what it links to that is no page goes with it, a directory is only named."""
    known = set(pages())

    def link(match: re.Match[str]) -> str:
        target = (page.parent / match[3]).resolve()
        if re.match(r"\w+:", match[3]) or target in known or not target.exists():
            return match[0]  # Sphinx says what leads nowhere
        if target.is_dir():
            return match[2]
        (source / target.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target, source / target.relative_to(ROOT))
        return match[0]

    def plain(text: str) -> str:
        return _LINK.sub(link, re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL))

    return "".join(part if number % 2 else plain(part) for number, part in enumerate(_FENCES.split(page.read_text())))


def navigation(start: Path) -> str:
    """Hidden tables of contents, one for each section of the start page."""
    made = []
    for section in re.split(r"^## ", start.read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        found = [(match[2].replace("`", ""), start.parent / match[3]) for match in _LINK.finditer(text) if match[3].endswith(".md")]
        entries = [f"{words[0].upper()}{words[1:]} </{os.path.relpath(page, ROOT).removesuffix('.md')}>" for words, page in found]
        entries += {"Reference": ["Modules and roles, from the specs </reference/index>"], "Project": ["/changelog"]}.get(title, [])
        made.append("\n".join(["", "```{toctree}", ":hidden:", f":caption: {title}", "", *entries, "```", ""]))
    rest = [page for page in pages() if page.parent.parent == ROOT / "examples"]
    names = "\n".join(f"/{page.relative_to(ROOT).with_suffix('')}" for page in rest)
    return "".join(made) + (f"\n```{{toctree}}\n:hidden:\n:caption: Examples\n\n{names}\n```\n" if rest else "")


def changelog() -> str:
    """What was released, and what comes next, from the fragments."""
    notes = ["# Changelog", ""]
    fragments = sorted((ROOT / "changelogs" / "fragments").glob("*.yml"))
    if fragments:
        notes += ["## Not released yet", ""]
    for path in fragments:
        for lines in yaml.safe_load(path.read_text()).values():
            notes += [f"- {line}".replace("``", "`") for line in ([lines] if isinstance(lines, str) else lines)]
    released = ROOT / "CHANGELOG.rst"
    if released.exists():
        body = released.read_text().split("\n.. contents", 1)[-1]
        notes += ["", "## Released", "", "```{eval-rst}", re.sub(r"^(::|  :local:|  :depth:.*)$", "", body, flags=re.MULTILINE).strip(), "```"]
    return "\n".join(notes) + "\n"


def inventory() -> bytes:
    """Sphinx's own kind of file for what is documented elsewhere, so that nobody asks the network for it."""
    lines = "".join(f"{label} std:label -1 {place} {title}\n" for label, (place, title) in _ANSIBLE.items())
    head = b"# Sphinx inventory version 2\n# Project: ansible-core\n# Version: \n# The remainder of this file is compressed using zlib.\n"
    return head + zlib.compress(lines.encode())


def reference(source: Path) -> None:
    """A page of each module and role, from the documentation that ansible-doc shows."""
    target = source / "reference"
    target.mkdir()
    _run(
        str(BIN / "antsibull-docs"),
        "collection",
        "--use-current",
        "--squash-hierarchy",
        "--fail-on-error",
        "--no-breadcrumbs",
        "--no-add-antsibull-docs-version",
        "--dest-dir",
        str(target),
        "hotswap.bluegreen",
    )
    for page in target.glob("*.rst"):  # the theme has each page's contents beside it
        page.write_text(re.sub(r"^\.\. contents::\n(   .*\n)*", "", page.read_text(), flags=re.MULTILINE))  # fmt: skip


def build(source: Path, out: Path) -> None:
    _run(sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(source.with_name("doctrees")), str(source), str(out))
    (out / "index.html").write_text(_ENTRY)


def _run(*command: str) -> None:
    settings = environment(PATH=f"{BIN}:{os.environ.get('PATH', '')}", ANSIBLE_HOME=str(BUILD / "ansible"))
    done = subprocess.run(command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SiteError(f"{Path(command[0]).name} {command[1] if command[1] != '-m' else command[2]} failed:\n{done.stdout}{done.stderr}")


def make(out: Path) -> None:
    """The whole site in ``out``, which is replaced."""
    work = out.with_name(f"{out.name}-work")
    for path in (work, out):
        shutil.rmtree(path, ignore_errors=True)
    source = work / "source"
    source.mkdir(parents=True)
    try:
        stage(source)
        reference(source)
        build(source, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.site", description="Build the documentation as a site, offline.")
    parser.add_argument("--out", type=Path, default=BUILD / "site", help="where (default: build/site)")
    out = parser.parse_args().out.resolve()
    try:
        make(out)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{out}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
