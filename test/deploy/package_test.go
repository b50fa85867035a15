package deploy

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const unitFile = "usr/lib/systemd/system/vault-authz.service"

// pack builds a package (deb or rpm) and returns its file.
func pack(t *testing.T, kind string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vault-authz."+kind)
	cmd := exec.CommandContext(t.Context(), partstest.Binary(t, "NFPM_BIN"), "package", "--config", "deploy/package/nfpm.yaml", "--packager", kind, "--target", file)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "ARCH=amd64", "VERSION=0.0.1", "BINARY="+service.Binary(t))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return file
}

// tool runs a program of the system. The test is skipped on systems without it.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not on PATH", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// setting returns a setting of a unit, which must occur once.
func setting(t *testing.T, unit, name string) string {
	t.Helper()
	_, after, found := strings.Cut(unit, "\n"+name+"=")
	if !found || strings.Contains(after, "\n"+name+"=") {
		t.Fatalf("%s does not occur exactly once in the unit", name)
	}
	value, _, _ := strings.Cut(after, "\n")
	return value
}

func TestThePackagesContainWhatTheUnitStarts(t *testing.T) {
	t.Parallel()
	for kind, unpack := range map[string]func(t *testing.T, file, root string){
		"deb": func(t *testing.T, file, root string) { t.Helper(); tool(t, "dpkg-deb", "--extract", file, root) },
		"rpm": func(t *testing.T, file, root string) {
			t.Helper()
			tool(t, "bsdtar", "--extract", "--file", file, "--directory", root)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			unpack(t, pack(t, kind), root)
			startAsInstalled(t, root)
		})
	}
}

// startAsInstalled starts the files of a package below root as the unit does, with other
// addresses and another Vault, and asks it.
func startAsInstalled(t *testing.T, root string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, unitFile))
	must(t, err)
	unit := string(raw)
	vault, token := startVault(t)
	raw, err = os.ReadFile(filepath.Join(root, "etc/vault-authz/config.yaml"))
	must(t, err)
	run := socketDir(t)
	socket := filepath.Join(run, "authz.sock")
	config, addresses := filepath.Join(root, "etc/vault-authz/config.yaml"), filepath.Join(run, "addresses.json")
	must(t, os.WriteFile(config, []byte(with(t, string(raw),
		"/run/vault-authz/authz.sock", socket, "127.0.0.1:9193", "127.0.0.1:0",
		"https://vault.example.com:8200", vault, "/etc/vault-authz/vault-token", token,
	)), 0o600))
	line := with(t, setting(t, unit, "ExecStart"), "/usr/bin/", root+"/usr/bin/", "/etc/vault-authz/", root+"/etc/vault-authz/")
	p, err := parts.Start(parts.Command{
		Name: "vault-authz", Path: "/bin/sh", Args: []string{"-c", "umask " + setting(t, unit, "UMask") + " && exec " + line},
		Env: append(os.Environ(), "VAULT_AUTHZ_ADDRESSES_FILE="+addresses, "VAULT_AUTHZ_DRAIN_WAIT=0s"),
	})
	must(t, err)
	partstest.StopWith(t, p)
	partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
		raw, err := os.ReadFile(addresses)
		if err == nil && !json.Valid(raw) {
			err = errors.New("the addresses are not written yet")
		}
		if err != nil {
			return err
		}
		return exec.CommandContext(ctx, filepath.Join(root, "usr/bin/vault-authz"), "healthcheck", "--config", config).Run()
	})
	info, err := os.Stat(socket)
	must(t, err)
	if info.Mode().Perm() != 0o660 {
		t.Errorf("mode of the socket = %o, want 660 for Envoy in the group of the service", info.Mode().Perm())
	}
}

func TestThePackagedUnitIsValidAndHardened(t *testing.T) {
	t.Parallel()
	unit := shipped(t, "package/vault-authz.service")
	file := filepath.Join(t.TempDir(), "vault-authz.service")
	// systemd-analyze needs the program at the path in the unit.
	must(t, os.WriteFile(file, []byte(with(t, unit, "ExecStart=/usr/bin/vault-authz", "ExecStart="+service.Binary(t))), 0o600))
	tool(t, "systemd-analyze", "verify", "--man=no", file)
	// In tenths, from 0 (best) to 100.
	tool(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", file)
}

func TestThePackageCreatesTheUserOfTheUnit(t *testing.T) {
	t.Parallel()
	unit := shipped(t, "package/vault-authz.service")
	file, err := filepath.Abs("../../deploy/package/sysusers.conf")
	must(t, err)
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "etc"), 0o700))
	tool(t, "systemd-sysusers", "--root="+root, file)
	for name, setting := range map[string]string{"passwd": setting(t, unit, "User"), "group": setting(t, unit, "Group")} {
		raw, err := os.ReadFile(filepath.Join(root, "etc", name))
		must(t, err)
		if !strings.Contains("\n"+string(raw), "\n"+setting+":") {
			t.Errorf("etc/%s has no %s:\n%s", name, setting, raw)
		}
	}
}
