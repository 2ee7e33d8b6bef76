#!/bin/sh
# Release the archive that the build made. Words are passed on: ci/play.sh --check --diff shows the plan and changes nothing.
set -eu
cd "$(dirname "$0")/.."
: "${SERVICE:?}" "${RELEASE:?}" "${CHECKSUM:?}" "${PLAYBOOK:?}"
case $RELEASE in *[!A-Za-z0-9._+-]*) echo "RELEASE is '$RELEASE': letters, digits and . _ + - are expected" >&2 && exit 2 ;; esac

# Secrets are in the vault, and nothing of one is on a command line.
cat >build/release.json <<END
{
  "bluegreen_release": "$RELEASE",
  "bluegreen_source": {"archive": "$PWD/build/$SERVICE-$RELEASE.tar.gz", "checksum": "$CHECKSUM"},
  "bluegreen_report_dir": "$PWD/build/report"
}
END
exec ansible-playbook -i inventory "$PLAYBOOK" -e @build/release.json "$@"
