package vaultkv

import (
	"context"
	"crypto/rand"
	"time"
)

// probePrefix is how the keys begin that a probe reads. There are none of them.
const probePrefix = "vault-authz.probe."

// probeKey returns a key to probe the server with. It is another one each time: a
// server that has lost its storage may still answer from memory for a key that it
// was asked for before.
func probeKey() string { return probePrefix + rand.Text() }

// slowPart is the part of the time that a read may take after which it is reason for a
// probe without having failed: a server that hangs is then known to soon after the first
// reads have failed.
const slowPart = 4

// probe finds out, for the guard that has called for it, whether the server answers
// for keys that nobody else has chosen, and says whether reads may go on. It takes no
// longer than a read.
func (v *Vault) probe(ctx context.Context) (ok bool) {
	problem := &Error{aside: true}
	defer func() {
		// A panic in a read must neither end the process nor all further probes.
		_ = recover()
		ok = v.guard.probed(problem, time.Now())
	}()
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	for range probeReads {
		if _, _, problem = v.read(ctx, probeKey()); problem == nil || !problem.helpless() {
			break
		}
	}
	return
}

// doubt probes the server if that is due.
func (v *Vault) doubt(ctx context.Context) {
	if v.guard.doubt(time.Now()) {
		v.probe(context.WithoutCancel(ctx))
	}
}
