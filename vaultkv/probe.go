package vaultkv

import (
	"context"
	"crypto/rand"
	"time"
)

// probePrefix is the beginning of the keys that probes read. There are no entries
// under such keys.
const probePrefix = "vault-authz.probe."

// probeKey returns a new key for a probe. Each one is different: a server that has
// lost its storage may still answer from memory for a key that was read before.
func probeKey() string { return probePrefix + rand.Text() }

// slowPart is the part of Config.Timeout after which a read that has not been answered
// triggers a probe. A server that hangs is thus recognised soon after the first reads
// have failed.
const slowPart = 4

// probe performs a probe that the breaker has started, and reports whether reads may be
// sent. It takes no longer than a read.
func (v *Vault) probe(ctx context.Context) (ok bool) {
	problem := &Error{inconclusive: true}
	defer func() {
		// A panic in a read must end neither the process nor all further probes.
		_ = recover()
		ok = v.breaker.probed(problem, time.Now())
	}()
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	for range probeReads {
		if _, _, problem = v.read(ctx, probeKey()); problem == nil || !problem.systemic() {
			break
		}
	}
	return
}

// probeIfDue probes the server after a read that failed or is slow.
func (v *Vault) probeIfDue(ctx context.Context) {
	if v.breaker.failed(time.Now()) {
		v.probe(context.WithoutCancel(ctx))
	}
}
