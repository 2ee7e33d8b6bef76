#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: watch
short_description: Let a program in development load its code when it is edited
version_added: 0.1.0
description:
  - Installs a small program under supervisor that watches directories of code. What is saved there is checked (a syntax error is shown, and not
    loaded), built if you wish, and loaded by a signal or a restart of one program of supervisor's, once for however many files changed.
  - It is for hosts of developers, and refuses where O(environment_kind) is V(production).
  - It has a directory of its own, with a virtual environment for the library watchfiles, and touches no program of others.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
attributes:
  check_mode:
    description: Says what would be changed and changes nothing.
    support: full
  diff_mode:
    description: Shows the program's file for supervisor; of the settings, which may hold secrets, that they differ.
    support: full
options:
  program:
    description: Name of the program that supervisor runs, such as V(shop), or V(web:shop) for one of a group.
    type: str
    required: true
  environment_kind:
    description: What kind of place the host is.
    type: str
    choices: [development, staging, production]
    default: production
  state:
    description: V(absent) leaves nothing of it, its log included.
    type: str
    choices: [present, absent]
    default: present
  paths:
    description: Directories, or files, to watch; absolute. One that is not there yet is watched once it is.
    type: list
    elements: str
    default: []
  ignore:
    description: Patterns as in C(.gitignore) of what is not watched, after those that are built in. C(!vendor) takes one of those back.
    type: list
    elements: str
    default: []
  debounce:
    description: Seconds without a change before anything is done.
    type: float
    default: 0.3
  debounce_max:
    description: Seconds after the first change at which it is done in any case.
    type: float
    default: 5
  checks:
    description:
      - What checks a changed file, by its name. Default is C(php -l), Python's compiler, C(node --check) and C(ruby -c). An empty list means no check.
    type: list
    elements: dict
    suboptions:
      match:
        description: Pattern of file names, or a list of them.
        type: raw
        required: true
      command:
        description: Command as a list or a string, without a shell. C({file}) in it is the file; the word C({files}) is many at once.
        type: raw
        required: true
  check_timeout:
    description: Seconds for all checks together.
    type: float
    default: 60
  build:
    description: Command to run once the checks are passed, as a list or a string, without a shell. If it fails nothing is loaded. Default is none.
    type: raw
  build_timeout:
    description: Seconds for it.
    type: float
    default: 300
  reload:
    description:
      - V(restart), or the signal by which the program loads its code anew, such as V(USR1) or V(HUP). Default is that of O(runtime), V(HUP) for
        gunicorn, V(USR1) for workerman and puma, and V(restart) for all others; Swoole and Hyperf keep what was loaded before their workers.
    type: str
    default: ''
  runtime:
    description: What the program is.
    type: str
    choices: [generic, hyperf, swoole, workerman, gunicorn, uvicorn, puma, node]
    default: generic
  health_url:
    description: What must answer with less than 400 after a reload.
    type: str
    default: ''
  start_timeout:
    description: Seconds for a program to run, and to be healthy, after a restart.
    type: float
    default: 30
  poll:
    description: Seconds between looks, in place of the file system's own events; for NFS and shared folders of virtual machines, which have none.
    type: float
    default: 0
  user:
    description: Whom it, its checks and the build run as. Default is the program's own user.
    type: str
    default: ''
  environment:
    description: Environment variables for checks and build, such as C(PATH).
    type: dict
    default: {}
  name:
    description: Its own name at supervisor. Default is the program's with C(-watch).
    type: str
    default: ''
  home:
    description: Directory of its own, for the virtual environment, the program, its settings and its log. Default is C(/opt/) and its name.
    type: str
    default: ''
  python:
    description: Python 3.10 or later, from which the virtual environment is made.
    type: str
    default: python3
  watchfiles_version:
    description: Version of the library watchfiles.
    type: str
    default: 1.3.0
  pip_arguments:
    description: Further arguments for C(pip install), such as those that name a mirror.
    type: list
    elements: str
    default: []
  supervisor_config:
    description: supervisord's configuration file; socket and credentials are read from it.
    type: str
    default: /etc/supervisor/supervisord.conf
  supervisor_socket:
    description: supervisord's unix socket, if it is not the one in the file.
    type: str
    default: ''
  supervisor_program_dir:
    description: Directory whose C(*.conf) supervisord includes.
    type: str
    default: /etc/supervisor/conf.d
"""

EXAMPLES = r"""
- name: Load the shop's code when it is edited
  hotswap.bluegreen.watch:
    environment_kind: development
    program: shop
    paths: [/home/dev/shop]
    reload: USR1

- name: Take it away again
  hotswap.bluegreen.watch:
    program: shop
    state: absent
"""

RETURN = r"""
name:
  description: The watch's name at supervisor.
  type: str
  returned: success
log:
  description: The file that has a line for each reload.
  type: str
  returned: success
"""

from ansible_collections.hotswap.bluegreen.plugins.module_utils import _module, _watch_install, _watch_rules

_WHERE = ("supervisor_config", "supervisor_socket", "supervisor_program_dir")


def work(module):
    told = module.params
    wanted = _watch_rules.read({**told, "supervisor": {name[len("supervisor_") :]: told[name] for name in _WHERE}})
    done = _watch_install.install(wanted, told["state"], dry=module.check_mode)
    return {"changed": done.changed, "diff": list(done.diffs), "name": wanted.name, "log": f"{wanted.home}/{_watch_install.LOG}"}


if __name__ == "__main__":
    _module.main(
        {
            "program": {"type": "str", "required": True},
            "environment_kind": {"type": "str", "choices": ["development", "staging", "production"], "default": "production"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "paths": {"type": "list", "elements": "str", "default": []},
            "ignore": {"type": "list", "elements": "str", "default": []},
            "debounce": {"type": "float", "default": 0.3},
            "debounce_max": {"type": "float", "default": 5},
            "checks": {
                "type": "list",
                "elements": "dict",
                "options": {"match": {"type": "raw", "required": True}, "command": {"type": "raw", "required": True}},
            },
            "check_timeout": {"type": "float", "default": 60},
            "build": {"type": "raw"},
            "build_timeout": {"type": "float", "default": 300},
            "reload": {"type": "str", "default": ""},
            "runtime": {
                "type": "str",
                "choices": ["generic", "hyperf", "swoole", "workerman", "gunicorn", "uvicorn", "puma", "node"],
                "default": "generic",
            },
            "health_url": {"type": "str", "default": ""},
            "start_timeout": {"type": "float", "default": 30},
            "poll": {"type": "float", "default": 0},
            "user": {"type": "str", "default": ""},
            "environment": {"type": "dict", "default": {}},
            "name": {"type": "str", "default": ""},
            "home": {"type": "str", "default": ""},
            "python": {"type": "str", "default": "python3"},
            "watchfiles_version": {"type": "str", "default": "1.3.0"},
            "pip_arguments": {"type": "list", "elements": "str", "default": []},
            "supervisor_config": {"type": "str", "default": "/etc/supervisor/supervisord.conf"},
            "supervisor_socket": {"type": "str", "default": ""},
            "supervisor_program_dir": {"type": "str", "default": "/etc/supervisor/conf.d"},
        },
        work,
    )
