#!/bin/sh
# The release as one archive: build/$SERVICE-$RELEASE.tar.gz. The same commit gives the same bytes. Prints its checksum.
set -eu
cd "$(dirname "$0")/.."
: "${SERVICE:?}" "${RELEASE:?}"
case $RELEASE in *[!A-Za-z0-9._+-]*) echo "RELEASE is '$RELEASE': letters, digits and . _ + - are expected" >&2 && exit 2 ;; esac

# What needs the network is fetched here, once, and not on each host: npm ci --omit=dev, composer install --no-dev, pip wheel …

mkdir -p build
archive=build/$SERVICE-$RELEASE.tar.gz
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$(git log -1 --format=%ct)" \
    --exclude-vcs --exclude=__pycache__ -cf "build/$SERVICE.tar" -C app .
gzip --no-name --stdout "build/$SERVICE.tar" >"$archive"
rm "build/$SERVICE.tar"
printf 'CHECKSUM=sha256:%s\n' "$(sha256sum "$archive" | cut -d' ' -f1)"
