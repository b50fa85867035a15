#!/bin/sh
# Packs the chart, from the root of the repository. The program has the same version:
#
#   HELM=.tools/bin/helm VERSION=1.2.3 deploy/chart/pack.sh dist/
#
# The times in the package are that of the commit, so that the same chart makes the same
# package. It needs GNU tar.
set -eu
name=vault-authz-$VERSION
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$1"
"${HELM:-helm}" package deploy/chart/vault-authz --version "$VERSION" --app-version "$VERSION" --destination "$work" >/dev/null
tar -xmzf "$work/$name.tgz" -C "$work"
tar --sort=name --mtime="@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    -C "$work" -cf - vault-authz | gzip -n9 >"$work/packed"
mv "$work/packed" "$1/$name.tgz"
