# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same release on an orchestrator: Docker Swarm or Kubernetes (``bluegreen_engine``).

The engine's own controller does the rolling. Here its service is described, guarded, watched and judged:

- ``_service``: what shall run, the one model of both engines; ``_resolve`` makes it of the user's variables
- ``_mapping``: what becomes of each variable on each engine, or why it cannot; docs/engines.md shows this table
- ``_seen``: what was seen of it, in words that both engines share; ``_judge`` says what that means for a release
- ``_engine``: what the actions need of an engine; ``_swarm`` and ``_kubernetes`` are the two, through the modules of
  ``community.docker`` and ``kubernetes.core``; ``_swarm_plan`` and ``_kubernetes_plan`` say, purely, what they are given
- ``_release``: the course of a release, the same on both
"""
