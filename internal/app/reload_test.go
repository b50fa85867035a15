package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const reloadable = `
vaults: [{name: memory, mount: memory, address: "http://127.0.0.1:1", token: {file: /nowhere}}]
consumers: [{id: ce67c25e-2168-4a09-81e5-e06187a2384f, username: demo, groups: [demo]}]
policies: [{name: default, vault: memory, default: true}]
`

// edited is reloadable with something replaced.
func edited(replace ...string) string { return strings.NewReplacer(replace...).Replace(reloadable) }

// A reloading is a service that is reloaded by its file.
type reloading struct {
	*replica
	*reloader
	t    *testing.T
	logs *observer.ObservedLogs
	from *shared
}

func startReloading(t *testing.T, text string) *reloading {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	origin := &config.Origin{Path: path}
	c, err := origin.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	from := newShared()
	r := startReplicaLogging(t, from, &c, zap.NewNop())
	return &reloading{replica: r, reloader: newReloader(origin, []byte(text), r.config.Load, r.reconfigure, zap.New(core)), t: t, logs: logs, from: from}
}

func (r *reloading) write(text string) {
	r.t.Helper()
	// In one step, as a ConfigMap changes.
	if err := os.WriteFile(r.origin.Path+".new", []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(r.origin.Path+".new", r.origin.Path); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reloading) settle() {
	r.look()
	r.look()
}

func (r *reloading) demo() envoy.Answer {
	return r.ask(envoy.Question{Method: "GET", URL: "http://x/", Headers: demoHeaders()})
}

func demoHeaders() []authz.Header {
	return []authz.Header{{Name: "access-token", Value: DemoAccessToken}, {Name: "secret-token", Value: DemoSecretToken}}
}

func TestAReloadTakesWhatTheFileSays(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"", "state: {vault: home}\n"} {
		home := strings.NewReplacer("vaults: [", `vaults: [{name: home, mount: home, address: "http://127.0.0.1:1", token: {file: /nowhere}}, `)
		with := func(text string) string {
			if state == "" {
				return text
			}
			return state + home.Replace(text)
		}
		for name, test := range map[string]struct {
			text   string
			status int
		}{
			"a policy denies the group":         {edited("default: true", "default: true, acl: {deny: [demo]}"), 403},
			"the group is removed":              {edited("groups: [demo]", "groups: [other]", "default: true", "default: true, acl: {allow: [demo]}"), 403},
			"the consumer is removed":           {edited("ce67c25e", "00000000"), 401},
			"the vault object is another":       {edited("name: memory, mount: memory", "name: other, mount: other", "vault: memory", "vault: other"), 401},
			"the policy is removed":             {edited("default: true", "hosts: [elsewhere]"), 403},
			"the vault object has other limits": {edited("mount: memory", "mount: memory, cache: {ttl: 1m}"), 0},
		} {
			t.Run(name+state, func(t *testing.T) {
				t.Parallel()
				r := startReloading(t, with(reloadable))
				partstest.Eventually(t, "requests are decided", func() bool { return r.demo().Allowed })
				r.write(with(test.text))
				r.settle()
				if a := r.demo(); a.Allowed != (test.status == 0) || test.status != 0 && a.Status != test.status {
					t.Errorf("got %+v, want status %d; the reload says %q", a, test.status, r.problem)
				}
				r.write(with(reloadable))
				r.settle()
				if a := r.demo(); !a.Allowed {
					t.Errorf("after the file is as before: %+v", a)
				}
			})
		}
	}
}

func TestAFileThatCannotBeUsedLeavesTheLastOneInUse(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(r *reloading) error{
		"no YAML":            func(r *reloading) error { r.write("policies: ["); return nil },
		"an unknown setting": func(r *reloading) error { r.write(reloadable + "nonsense: 1\n"); return nil },
		"half of it":         func(r *reloading) error { r.write(reloadable[:len(reloadable)/2]); return nil },
		"empty":              func(r *reloading) error { r.write(""); return nil },
		"deleted":            func(r *reloading) error { return os.Remove(r.origin.Path) },
		"a folder": func(r *reloading) error {
			return errors.Join(os.Remove(r.origin.Path), os.Mkdir(r.origin.Path, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReloading(t, reloadable)
			hash := r.hash
			if err := spoil(r); err != nil {
				t.Fatal(err)
			}
			for range 5 {
				r.look()
			}
			if !r.demo().Allowed || r.hash != hash || r.problem == "" {
				t.Errorf("it is in use, or not told: %q", r.problem)
			}
			if n := r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 {
				t.Errorf("%d lines, want one", n)
			}
			_ = os.Remove(r.origin.Path)
			r.write(reloadable)
			r.settle()
			if r.problem != "" || r.hash != hash {
				t.Errorf("after it is as before: %q", r.problem)
			}
		})
	}
}

func TestContentIsUsedWhenItHasSettledAndAtASignalAtOnce(t *testing.T) {
	t.Parallel()
	r := startReloading(t, reloadable)
	for _, level := range []string{"debug", "warn"} {
		r.write("log: {level: " + level + "}\n" + reloadable)
		r.look()
		if r.used != 0 {
			t.Fatal("content was used at the first look")
		}
	}
	r.look()
	if r.used != 1 || r.inUse().Log.Level != "warn" {
		t.Errorf("%d reloads, level %s; want one to warn", r.used, r.inUse().Log.Level)
	}
	r.write(reloadable)
	r.now()
	if r.used != 2 || r.inUse().Log.Level != "info" {
		t.Errorf("%d reloads, level %s; want a second one, to info", r.used, r.inUse().Log.Level)
	}
}

func TestASettingThatNeedsARestartIsToldAndTheRestIsUsed(t *testing.T) {
	t.Parallel()
	r := startReloading(t, reloadable)
	r.write("listen: {grpc: \"127.0.0.1:1\"}\ndrain: {wait: 9s}\nlog: {level: error}\n" + edited("default: true", "default: true, acl: {deny: [demo]}"))
	r.settle()
	lines := r.logs.FilterLevelExact(zapcore.WarnLevel).All()
	if len(lines) != 1 || !strings.Contains(lines[0].Message, "need a restart") {
		t.Fatalf("got %v, want one line", lines)
	}
	if got := lines[0].ContextMap()["settings"].([]any); len(got) != 2 || got[0] != "drain.wait" || got[1] != "listen.grpc" {
		t.Errorf("got %v", got)
	}
	if r.demo().Allowed || r.inUse().Log.Level != "error" {
		t.Error("the rest is not in use")
	}
}

func TestARunningServiceTakesAChangeWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "config.yaml")
		origin := &config.Origin{Path: path}
		if err := os.WriteFile(path, []byte(reloadable), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := origin.Parse([]byte(reloadable))
		if err != nil {
			t.Fatal(err)
		}
		signals := make(chan os.Signal)
		r := newReloader(origin, []byte(reloadable), func() *config.Config { return &c }, func(*config.Config) error { return nil }, zap.NewNop())
		ctx := t.Context()
		go func() { _ = r.run(ctx, signals) }()
		if err := os.WriteFile(path, []byte("log: {level: error}\n"+reloadable), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if r.used != 1 {
			t.Errorf("%d reloads, want 1", r.used)
		}
		signals <- os.Interrupt
		synctest.Wait()
		if r.used != 2 {
			t.Errorf("%d reloads after a signal, want 2", r.used)
		}
	})
}

func TestAVaultObjectWithTheSameSettingsKeepsItsCache(t *testing.T) {
	t.Parallel()
	r := startReloading(t, reloadable)
	before := r.vaults.Named(demoVault)
	r.write(edited("groups: [demo]", "groups: [other]"))
	r.settle()
	if r.problem != "" || before == nil || r.vaults.Named(demoVault) != before {
		t.Errorf("it was opened anew: %q", r.problem)
	}
}

func TestReloadsLeaveNothingBehind(t *testing.T) {
	r := startReloading(t, reloadable)
	n := runtime.NumGoroutine()
	for i := range 100 {
		r.write(edited("mount: memory", fmt.Sprintf("mount: memory, cache: {ttl: %ds}", i+10)))
		r.now()
	}
	if r.used != 100 {
		t.Fatalf("%d reloads: %s", r.used, r.problem)
	}
	partstest.Eventually(t, "goroutines are as many as before", func() bool { return runtime.NumGoroutine() <= n+5 })
}
