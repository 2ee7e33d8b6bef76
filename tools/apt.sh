#!/bin/sh
# Install Debian packages that are missing, as root or with sudo; their services are not started.
# Says what it does; a second run does nothing. Usage: tools/apt.sh [PACKAGE ...]
set -eu
cd "$(dirname "$0")/.."
mkdir -p build

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=""
for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -z "$missing" ]; then exit 0; fi

echo "setup: installing with apt:$missing (services are not started)"
try=0
until as_root apt-get -q update >build/apt.log 2>&1 || [ "$try" = 30 ]; do # another apt may hold the lists
    try=$((try + 1))
    sleep 2
done
guard=""
if [ ! -e /usr/sbin/policy-rc.d ]; then # a package's service starts with its installation unless this says no
    guard=/usr/sbin/policy-rc.d
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$guard" >/dev/null
    as_root chmod 755 "$guard"
fi
# shellcheck disable=SC2086 # a list of words
if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing >>build/apt.log 2>&1; then
    echo "setup: apt failed, see build/apt.log:" >&2
    tail -n 20 build/apt.log >&2
    exit 1
fi
