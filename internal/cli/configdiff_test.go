package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/app"
)

func TestConfigDiffComparesAFileWithAnotherOneOrWithARunningService(t *testing.T) {
	t.Parallel()
	c := app.DevConfig()
	c.Vaults[0].Address, c.Vaults[0].TokenFile, c.Debug.Enabled = "http://127.0.0.1:8200", "/run/token", true
	running := "http://" + startDev(t, &c).Probes
	silent := app.DevConfig()
	hidden := "http://" + startDev(t, &silent).Probes
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, edit ...string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.NewReplacer(edit...).Replace(string(shown))), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	same := file("same.yaml")
	changed := file("changed.yaml", "allow_sample: 1", "allow_sample: 5", "wait: 0s", "wait: 9s", "/run/token", "/run/another")
	broken := file("broken.yaml", "log:", "lug:")
	const differences = `~ drain.wait: "0s" -> "9s" (needs a restart)
~ log.allow_sample: "1" -> "5"
~ vaults[memory].token.file: "/run/token" -> "/run/another" (needs a restart)
`
	for _, test := range []struct {
		name string
		args []string
		code int
		out  string
		says string
	}{
		{"two files without a difference", []string{same, same}, exitOK, "", ""},
		{"two files", []string{same, changed}, exitFailed, differences, ""},
		{"a service by the same file", []string{"--running", running, same}, exitOK, "", ""},
		{"a service by another file", []string{"--running", running, changed}, exitFailed, differences, ""},
		{"a service that does not show its configuration", []string{"--running", hidden, same}, exitUsage, "", "debug.enabled"},
		{"nobody", []string{"--running", "http://127.0.0.1:1", same}, exitUsage, "", "is vault-authz running there?"},
		{"no URL", []string{"--running", "127.0.0.1:9193", same}, exitUsage, "", "give the URL of the probes"},
		{"a service and two files", []string{"--running", running, same, changed}, exitUsage, "", "give one file"},
		{"one file alone", []string{same}, exitUsage, "", "give two files"},
		{"a file with a mistake", []string{"--running", running, broken}, exitUsage, "", "lug"},
	} {
		var out, errs bytes.Buffer
		code := Run(t.Context(), Process{Args: append([]string{"config", "diff"}, test.args...), Stdout: &out, Stderr: &errs})
		if code != test.code || out.String() != test.out || !strings.Contains(errs.String(), test.says) || (test.says == "") != (errs.Len() == 0) {
			t.Errorf("%s: exit %d, output:\n%s%s\nwant exit %d and:\n%s%s", test.name, code, &out, &errs, test.code, test.out, test.says)
		}
	}
}
