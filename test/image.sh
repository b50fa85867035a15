#!/usr/bin/env bash
# Builds deploy/Dockerfile with buildah, and runs the image as an orchestrator does:
# as its own user, with a root that cannot be written to and no capabilities.
#
# It needs root, buildah and runc, and no registry: this machine's own Go takes the
# place of the image golang. It leaves nothing behind.
set -euo pipefail
cd "$(dirname "$0")/.."

for tool in buildah runc python3; do
	command -v "$tool" >/dev/null || { echo "image-test: $tool is not on PATH (Debian: apt install buildah runc python3)" >&2; exit 1; }
done
[ "$(id -u)" = 0 ] || { echo "image-test: run it as root" >&2; exit 1; }

work=$(mktemp -d)
export CONTAINERS_STORAGE_CONF=$work/storage.conf
printf '[storage]\ndriver = "vfs"\nrunroot = "%s/run"\ngraphroot = "%s/graph"\n' "$work" "$work" >"$CONTAINERS_STORAGE_CONF"
id=vault-authz-image-test-$$
clean() {
	runc --root "$work/runc" delete --force "$id" >/dev/null 2>&1 || true
	buildah rm --all >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap clean EXIT

base=$(sed -n 's/^FROM \(golang:[^ ]*\).*/\1/p' deploy/Dockerfile)
echo "the base $base is made of $(go version)"
container=$(buildah from scratch)
root=$(buildah mount "$container")
mkdir -p "$root"/{bin,usr/local,usr/bin,lib,lib64,etc/ssl/certs,tmp,root}
cp -a "$(go env GOROOT)" "$root/usr/local/go"
# A shell and what it needs, for RUN.
for program in sh mkdir; do
	cp "$(command -v $program)" "$root/bin/"
	ldd "$(command -v $program)" | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$root$(dirname "$library")" && cp -L "$library" "$root$library"
	done
done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
buildah umount "$container" >/dev/null
buildah config --env PATH=/usr/local/go/bin:/bin --env GOTOOLCHAIN=local --env HOME=/root "$container"
buildah commit --quiet "$container" "localhost/$base" >/dev/null
buildah rm "$container" >/dev/null

# The modules of this machine are at hand, so that no network is needed.
buildah bud --quiet --pull-never --network host --isolation chroot --format docker \
	--volume "$(go env GOMODCACHE):/root/go/pkg/mod:rw" --volume "$(go env GOCACHE):/root/.cache/go-build:rw" \
	--file deploy/Dockerfile --ignorefile deploy/Dockerfile.dockerignore --tag vault-authz . >/dev/null

field() { buildah inspect --type image --format "{{$1}}" vault-authz; }
expect() { [ "$2" = "$3" ] || { echo "image-test: $1 is $2, want $3" >&2; exit 1; }; }
expect user "$(field .Docker.Config.User)" 65532:65532
expect entrypoint "$(field .Docker.Config.Entrypoint)" '[/vault-authz]'
[ "$(field .Docker.Config.Healthcheck)" != '<nil>' ] || { echo "image-test: the image in Docker's format has no HEALTHCHECK" >&2; exit 1; }

image=$(buildah from --pull-never vault-authz)
root=$(buildah mount "$image")
files=$(cd "$root" && find . -type f | sort | tr '\n' ' ')
expect files "$files" './etc/ssl/certs/ca-certificates.crt ./vault-authz '

mkdir -p "$work/bundle" "$work/etc"
cat >"$work/etc/config.yaml" <<'CONFIG'
listen: {grpc: "127.0.0.1:0", probes: "127.0.0.1:0"}
log: {format: json}
drain: {wait: 0s, timeout: 2s}
vaults: [{name: kong-auth, address: "http://127.0.0.1:1", mount: kong-auth, token: {file: /etc/vault-authz/token}}]
policies: [{name: default, default: true, vault: kong-auth}]
CONFIG
echo a-token >"$work/etc/token"
chmod -R a+rX "$work/etc"
python3 - "$work" "$root" <<'PY'
import json
import sys

work, root = sys.argv[1:]
closed = ["nosuid", "noexec", "nodev"]
json.dump({
    "ociVersion": "1.0.2",
    "process": {
        "user": {"uid": 65532, "gid": 65532}, "cwd": "/", "noNewPrivileges": True, "env": [],
        "args": ["/vault-authz", "serve", "--config", "/etc/vault-authz/config.yaml"],
        "capabilities": {k: [] for k in ("bounding", "effective", "inheritable", "permitted", "ambient")},
    },
    "root": {"path": root, "readonly": True},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        {"destination": "/etc/vault-authz", "type": "bind", "source": work + "/etc", "options": ["bind", "ro", *closed]},
    ],
    "linux": {"namespaces": [{"type": t} for t in ("pid", "mount", "ipc", "uts")]},
}, open(work + "/bundle/config.json", "w"))
PY
# runc makes what is missing below the root of the image itself.
mkdir -p "$root"/{proc,dev,etc/vault-authz}
runc --root "$work/runc" run --bundle "$work/bundle" "$id" >"$work/log" 2>&1 &
running=$!
listens() { sed -n "s/.*\"message\":\"serving\".*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/log"; }
for _ in $(seq 100); do
	[ -n "$(listens probes)" ] && break
	kill -0 "$running" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
	sleep 0.1
done
curl -fsS "http://$(listens probes)/livez" >/dev/null
pid=$(runc --root "$work/runc" state "$id" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')
expect "the user of the process" "$(awk '/^Uid:/ {print $2}' "/proc/$pid/status")" 65532
expect "what it may do" "$(awk '/^CapEff:/ {print $2}' "/proc/$pid/status")" 0000000000000000
# Not ready, for there is no Vault, and the program of the health check says so.
if runc --root "$work/runc" exec "$id" /vault-authz healthcheck --address "$(listens grpc)" >"$work/health" 2>&1 || ! grep -q "not ready" "$work/health"; then
	echo "image-test: healthcheck says, without a Vault: $(cat "$work/health")" >&2
	exit 1
fi
runc --root "$work/runc" kill "$id" TERM
wait "$running" || { echo "image-test: it did not end well" >&2; cat "$work/log" >&2; exit 1; }
echo "image: $(du -h "$root/vault-authz" | cut -f1), user 65532, read-only, no capabilities, stopped in order"
