#!/usr/bin/env bash
# Signs a file with a key that is thrown away, verifies the signature as those do that
# install a release, and checks that a changed file is refused.
#
# usage: test/sign.sh COSIGN FILE
set -euo pipefail
cosign=$1 file=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export COSIGN_PASSWORD=
(cd "$work" && "$cosign" generate-key-pair >/dev/null 2>&1)
cp "$file" "$work/signed"

make --no-print-directory sign COSIGN_KEY="$work/cosign.key" SIGNED="$work/signed"
verify() {
	"$cosign" verify-blob --key "$work/cosign.pub" --bundle "$work/signed.sigstore.json" --insecure-ignore-tlog=true "$work/signed" 2>&1
}
verify
echo >>"$work/signed"
if said=$(verify); then
	echo "sign: a changed file was accepted: $said" >&2
	exit 1
fi
