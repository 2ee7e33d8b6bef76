#!/usr/bin/python
# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Release, or go back, on Docker Swarm or Kubernetes
version_added: 0.1.0
description:
  - Brings a release to a service of an engine. The engine's own controller replaces the replicas; this describes the service, asks for it,
    waits until every replica runs the wished image and is healthy, tells a paused or rolled-back update apart from a good one, and says why it went wrong.
  - Takes the service's lock, runs migration and hooks, sends messages, counts with the probe and writes the report, as a release on hosts does.
  - Everything comes from the C(bluegreen_*) variables. It is an action for all hosts of the play and works on the first of them, with the modules of
    C(community.docker) or C(kubernetes.core), which must be installed. C(docs/engines.md) says what becomes of each variable.
  - What is there already is left as it is, so that a second run changes nothing, and one that was cut off is gone on with.
author:
  - The hotswap.bluegreen maintainers (@hotswap)
options:
  engine:
    description: What runs the service.
    type: str
    choices: [swarm, kubernetes]
    required: true
  way:
    description: >-
      Whether to release what the variables say, or to go back to a release that the engine has had. It is the one of C(bluegreen_rollback_to), or
      the last one that ended well.
    type: str
    choices: [release, rollback]
    default: release
attributes:
  check_mode:
    description: Asks the engine for a dry run where it has one, and says what would be done.
    support: full
  diff_mode:
    description: Shows the description of the service before and after, without secrets.
    support: full
seealso:
  - module: hotswap.bluegreen.swap
"""

EXAMPLES = r"""
- name: Release on Docker Swarm
  hotswap.bluegreen.rollout:
    engine: swarm

- name: Go back to the last good release on Kubernetes
  hotswap.bluegreen.rollout:
    engine: kubernetes
    way: rollback
"""

RETURN = r"""
release:
  description: The release that the engine is asked for at the end.
  type: str
  returned: when it was begun
previous_release:
  description: The one before, empty if it was the same.
  type: str
  returned: when it was begun
image:
  description: The image of the service at the end, with its digest where the engine knows it.
  type: str
  returned: when it was begun
state:
  description: What the engine does with the service at the end, such as settled, paused or rolled_back.
  type: str
  returned: when it was begun
replicas:
  description: The replicas as they were seen last, with C(name), C(release), C(node), C(state), C(healthy) and C(problem).
  type: list
  elements: dict
  returned: when it was begun
probe:
  description: How many requests were C(due), C(answered) and C(failed), where bluegreen_probe is set.
  type: dict
  returned: when it was begun
planned:
  description: What would be done.
  type: list
  elements: str
  returned: in check mode
"""
