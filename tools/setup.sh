#!/bin/sh
# Set this checkout up: Debian packages that are missing (as root or with sudo) and a virtual environment in .venv.
# Says what it does; a second run does nothing. Usage: tools/setup.sh [PACKAGE ...]
set -eu
cd "$(dirname "$0")/.."
mkdir -p build

tools/apt.sh "$@"
mkdir -p build/collections/ansible_collections/hotswap # on this collections path, the checkout is hotswap.bluegreen
[ -e build/collections/ansible_collections/hotswap/bluegreen ] || ln -sfn "$PWD" build/collections/ansible_collections/hotswap/bluegreen

wanted=$( (cat requirements-dev.txt; python3 --version) | sha256sum | cut -d' ' -f1)
(
    flock 9 # two at once would build into each other
    if [ "$(cat .venv/.wanted 2>/dev/null)" = "$wanted" ]; then exit 0; fi
    if [ "$(.venv/bin/python --version 2>/dev/null)" != "$(python3 --version)" ]; then
        echo "setup: making a virtual environment in .venv"
        python3 -m venv --clear .venv
    fi
    echo "setup: installing requirements-dev.txt into .venv"
    rm -f .venv/.wanted # an interrupted installation is gone on with
    if ! TMPDIR=$PWD/build .venv/bin/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt >build/pip.log 2>&1; then
        cat build/pip.log >&2
        exit 1
    fi
    echo "$wanted" >.venv/.wanted
) 9>build/.setup.lock
.venv/bin/python -m tools.galaxy # collections that ours works with, for the linters and for tests of the engines
