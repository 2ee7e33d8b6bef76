#!/usr/bin/env python3
"""A dynamic inventory: how the hosts that create.yml made are reached. Before that, and after destroy.yml, it has none."""

import json
import os
import pathlib

state = pathlib.Path(os.environ.get("MOLECULE_EPHEMERAL_DIRECTORY", "."), "hosts.json")
made = json.loads(state.read_text()) if state.exists() else {"hosts": {}, "variables": {}}
hostvars = {name: {**made["variables"], "ansible_host": address} for name, address in made["hosts"].items()}
print(json.dumps({"_meta": {"hostvars": hostvars}, "all": {"hosts": list(hostvars)}}))
