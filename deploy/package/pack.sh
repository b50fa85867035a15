#!/bin/sh
# Makes a deb and an rpm of a binary, from the root of the repository:
#
#   NFPM=.tools/bin/nfpm OS=linux ARCH=amd64 VERSION=1.2.3 BINARY=path/to/vault-authz deploy/package/pack.sh dist/
#
# The time in the packages is that of the commit, so that the same binary makes the
# same packages.
set -eu
if [ "$OS" != linux ]; then
    exit 0
fi
mkdir -p "$1"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH ARCH VERSION BINARY
for kind in deb rpm; do
    "${NFPM:-nfpm}" package --config deploy/package/nfpm.yaml --packager "$kind" --target "$1"
done
