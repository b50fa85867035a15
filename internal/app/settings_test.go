package app

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func TestAReloadAppliesTheSettingsOfTheLog(t *testing.T) {
	t.Parallel()
	r := startReloading(t, reloadable)
	before := r.decisions.Load()
	r.write("log: {level: error}\n" + reloadable)
	r.settle()
	if level, configured, _ := r.replica.logs.Level().State(); level != zap.ErrorLevel || configured != zap.ErrorLevel {
		t.Errorf("level %s, configured %s, want error", level, configured)
	}
	if r.decisions.Load() != before {
		t.Error("the decision log was replaced without a change")
	}
	r.write("log: {level: error, allow_sample: 1}\n" + reloadable)
	r.settle()
	if r.decisions.Load() == before {
		t.Error("allow_sample has no effect")
	}
	r.replica.logs.Level().SetFor(zap.DebugLevel, time.Hour, nil)
	r.write("log: {level: warn}\n" + reloadable)
	r.settle()
	if level, configured, _ := r.replica.logs.Level().State(); level != zap.DebugLevel || configured != zap.WarnLevel {
		t.Errorf("level %s, configured %s, want that debug stays for its time, and then warn", level, configured)
	}
}

// TestMaxStaleOfTheStateFollowsTheFile: the state goes by the longest one of the vault objects.
func TestMaxStaleOfTheStateFollowsTheFile(t *testing.T) {
	t.Parallel()
	with := func(maxStale string) string {
		return "state: {vault: home, poll: 100ms}\n" + edited("vaults: [", `vaults: [{name: home, mount: home, address: "http://127.0.0.1:1", token: {file: /nowhere}, cache: {max_stale: 0s}}, `,
			"mount: memory", "mount: memory, cache: {max_stale: "+maxStale+"}")
	}
	r := startReloading(t, with("1h"))
	partstest.Eventually(t, "requests are decided", func() bool { return r.demo().Allowed })
	r.from.kv.Fail(errors.New("down"))
	partstest.Eventually(t, "a proof is long ago", func() bool { return r.store.Lag() > 2*time.Second })
	if a := r.demo(); !a.Allowed {
		t.Fatalf("with a max_stale of 1h: %+v", a)
	}
	r.write(with("1s"))
	r.settle()
	if a := r.demo(); a.Allowed || a.Status != 503 {
		t.Errorf("with a max_stale of 1s: %+v; the reload says %q", a, r.problem)
	}
	r.write(with("1h"))
	r.settle()
	if a := r.demo(); !a.Allowed {
		t.Errorf("with a max_stale of 1h again: %+v; the reload says %q", a, r.problem)
	}
}
