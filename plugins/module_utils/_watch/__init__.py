# Copyright: (c) 2026, The hotswap.bluegreen maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watch of a program in development: edited code is checked, and loaded by a signal or a restart, once.

This package runs on its own: it is packed into one file with what it needs of ours, for a virtual environment that has watchfiles, which is
imported in one place and only there.
"""
