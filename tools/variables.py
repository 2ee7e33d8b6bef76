#!/usr/bin/env python3
"""Make the other roles' argument specs, and the tables of variables in docs/variables.md and the READMEs, from the release role's spec.

A role that is one module, as watch is, has its spec from that module's documentation; what it shares with the release is told there.

tools/variables.py          write them
tools/variables.py --check  exit 1 if one is not up to date
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- variables: made by tools/variables.py -->", "<!-- end of variables -->"

SLOTS = ["slots", "protocols", "min_serving", "server", "listen"]  # what the rules of slots and their ports ask
PLACE = ["balancers", "local_balancer", "balancers_absent", "address"]  # which host serves whom

# role → (what it is, the variables it uses, those of them that are required)
ROLES: dict[str, tuple[str, str, list[str], list[str]]] = {
    "supervisor_program": (
        "Install a supervisor program for each slot",
        "Installs one program file and one launcher a slot. A slot that runs is left alone; what would change it is said and left to the swap.",
        ["service", "group", *PLACE, "root", "user", *SLOTS, "stop_timeout", "stop_grace", "stop_signal", "stop_as_group", "kill_as_group", "runtime",
         "start_seconds", "autorestart", "log_dir", "log_max_bytes", "log_backups", "adopt",
         "supervisor_config", "supervisor_socket", "supervisor_program_dir"],
        ["service"],
    ),
    "nginx_upstream": (
        "Install the pools, the link and the switch in nginx",
        "Installs the pools that a release needs, the link that names the one in use, and a server block or files to include in yours.",
        ["service", "group", *PLACE, "serial", *SLOTS, "strategy", "preview", "canary", "canary_sticky", "access_log",
         "server_name", "tls_certificate", "tls_key", "body_size", "server_extra",
         "location", "proxy_connect_timeout", "proxy_read_timeout", "proxy_send_timeout", "next_upstream", "cookie_path",
         "upstream_keepalive", "upstream_idle", "upstream_max_fails", "nginx_command", "nginx_config", "nginx_conf_dir", "nginx_state_dir",
         "nginx_pid_file", "nginx_error_log", "nginx_reload_command"],
        ["service"],
    ),
    "monitoring": (
        "Export the metrics of a service for Prometheus",
        "Installs what writes a file for node_exporter each minute and at the end of each release, on the hosts of the service and its balancers.",
        ["service", "group", *PLACE, "root", *SLOTS, "adopt", "health_request_headers", "health_port", "health_timeout",
         "nginx_config", "nginx_state_dir", "nginx_conf_dir", "nginx_pid_file", "supervisor_config", "supervisor_socket", "supervisor_program_dir", "cron_dir",
         "monitoring_state", "monitoring_by", "monitoring_textfile_dir", "strategy"],
        ["service"],
    ),
}  # fmt: skip

ENGINES = {"swarm_service": ("swarm", "Release a service on Docker Swarm"), "kubernetes_deployment": ("kubernetes", "Release a service on Kubernetes")}
_ROLLED = "The engine's own controller replaces the replicas; the role describes the service, asks for it, watches and judges. C(docs/engines.md) tells more."
MODULES = ("watch",)  # roles whose variables are their module's options
SOURCES = ROOT / "plugins" / "modules"


class Dumper(yaml.SafeDumper):
    """YAML in the style of the project: list items are indented."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def mapping() -> ModuleType:
    """What becomes of each variable on an engine, without Ansible."""
    path = ROOT / "plugins/plugin_utils/_engines/_mapping.py"
    found = importlib.util.spec_from_file_location("mapping", path)
    if found is None or found.loader is None:
        raise ImportError(path)
    module = importlib.util.module_from_spec(found)
    sys.modules["mapping"] = module  # dataclasses look for it
    found.loader.exec_module(module)
    return module


def of_engines(options: dict[str, Any]) -> dict[str, tuple[str, str, list[str], list[str]]]:
    """The roles of the engines, as in ROLES: what an engine makes something of."""
    rows = mapping()
    return {
        role: (
            short,
            _ROLLED,
            [name for name in (full.removeprefix("bluegreen_") for full in options) if rows.row(name).of(engine).how == "as"],
            ["service", "release", "image"],
        )
        for role, (engine, short) in ENGINES.items()
    }


def load() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((ROOT / "roles/release/meta/argument_specs.yml").read_text())
    return spec["argument_specs"]["main"]["options"]  # type: ignore[no-any-return]


def role_spec(role: str, options: dict[str, Any]) -> str:
    short, description, names, required = {**ROLES, **of_engines(options)}[role]
    chosen = {f"bluegreen_{name}": dict(options[f"bluegreen_{name}"]) for name in names}
    for name, option in chosen.items():
        option.pop("required", None)
        if role in ENGINES:
            option["description"] += _on_engine(ENGINES[role][0], name)
        if name.removeprefix("bluegreen_") in required:
            chosen[name] = {"type": option.pop("type"), "required": True, **option}
    return _as_text(short, [description], chosen, "roles/release/meta/argument_specs.yml")


def _on_engine(engine: str, name: str) -> str:
    """What the engine makes of a variable, for the description that all of them share."""
    rows = mapping()
    text = re.sub(r"`([^`]*)`", r"C(\1)", rows.row(name.removeprefix("bluegreen_")).of(engine).text)
    return f" On {rows.TITLES[engine]}: {text}."


def module_spec(role: str, options: dict[str, Any]) -> str:
    """The role's spec; of the module's options those are ``bluegreen_`` that a release has, too, the others begin with the role's name."""
    body = ast.parse((SOURCES / f"{role}.py").read_text()).body
    texts = {ast.unparse(node.targets[0]): node.value for node in body if isinstance(node, ast.Assign)}
    told = yaml.safe_load(ast.literal_eval(texts["DOCUMENTATION"]))
    names = {name: f"bluegreen_{name}" if f"bluegreen_{name}" in options else f"{role}_{name}" for name in told["options"]}
    chosen = {variable: options.get(variable) or _of_role(told["options"][name], names) for name, variable in names.items()}
    return _as_text(told["short_description"], [_plain(text, names) for text in told["description"]], chosen, f"plugins/modules/{role}.py")


def _of_role(option: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    text = option["description"]
    first = {key: option[key] for key in ("type", "elements", "required", "choices", "default") if key in option}
    inner = {"options": {name: _of_role(rule, names) for name, rule in option["suboptions"].items()}} if "suboptions" in option else {}
    return {**first, "description": _plain(" ".join(text) if isinstance(text, list) else text, names), **inner}


def _plain(text: str, names: dict[str, str]) -> str:
    """A module's marks as a role's spec has them: options by the role's variables, values as code."""
    return re.sub(r"\bV\(", "C(", re.sub(r"\bO\((\w+)\)", lambda match: f"C({names[match[1]]})", text))


def _as_text(short: str, description: list[str], options: dict[str, Any], source: str) -> str:
    spec = {"argument_specs": {"main": {"short_description": short, "description": description, "options": options}}}
    text = yaml.dump(spec, Dumper=Dumper, sort_keys=False, width=125, allow_unicode=True)
    return f"---\n# Made from {source} by tools/variables.py (make specs).\n{text}"


def _default(option: dict[str, Any]) -> str:
    if option.get("required"):
        return "**required**"
    value = option.get("default")
    if value in ("", None):
        return ""
    return f"`{value if isinstance(value, (str, int, float)) else yaml.dump(value, default_flow_style=True, width=1000).strip()}`"


def _text(option: dict[str, Any]) -> str:
    words = str(option["description"]).replace("|", "\\|")
    while "C(" in words:
        before, _, rest = words.partition("C(")
        depth, end = 1, 0
        for end, letter in enumerate(rest):  # noqa: B007  # `end` is where the loop stopped
            depth += (letter == "(") - (letter == ")")
            if depth == 0:
                break
        words = f"{before}`{rest[:end]}`{rest[end + 1 :]}"
    choices = option.get("choices")
    return words + (f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "")


def table(options: dict[str, Any]) -> str:
    rows = ["| variable | default | what it is |", "| --- | --- | --- |"]
    for name, option in options.items():
        rows.append(f"| `{name}` | {_default(option)} | {_text(option)} |")
        rows += [f"| `{name}: {inner}` | {_default(rule)} | {_text(rule)} |" for inner, rule in option.get("options", {}).items()]
    return "\n".join(rows)


def with_table(readme: Path, options: dict[str, Any]) -> str:
    return between(readme.read_text(), table(options))


def between(text: str, rows: str) -> str:
    """A page with this table between its marks, if it has them."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{rows}\n{END}{after}" if rest else text


def wanted() -> dict[Path, str]:
    options = load()
    files = {ROOT / f"roles/{role}/meta/argument_specs.yml": role_spec(role, options) for role in (*ROLES, *ENGINES)}
    files |= {ROOT / f"roles/{role}/meta/argument_specs.yml": module_spec(role, options) for role in MODULES}
    readmes = {ROOT / "docs/variables.md": options, ROOT / "roles/release/README.md": options}
    for role in (*ROLES, *ENGINES, *MODULES):
        readmes[ROOT / f"roles/{role}/README.md"] = yaml.safe_load(files[ROOT / f"roles/{role}/meta/argument_specs.yml"])["argument_specs"]["main"]["options"]
    pages = {path: with_table(path, chosen) for path, chosen in readmes.items() if path.exists()}
    engines = ROOT / "docs/engines.md"
    if engines.exists():
        pages[engines] = between(engines.read_text(), mapping().table())
    return files | pages


def main() -> int:
    stale = [path for path, text in wanted().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not up to date: run make specs")
        return 1 if stale else 0
    for path, text in wanted().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
