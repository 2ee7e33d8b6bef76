# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe: clients that ask on a schedule while a release goes on, and count what failed.

This package is the one exception to "standard library only" of module_utils: requests and websocket-client are needed
where a probe runs, and nowhere else. It imports nothing of ours outside itself, because a probe outlasts the module
that started it: its files are copied into the probe's own directory and run from there.
"""
