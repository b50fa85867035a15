package vaultkv

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// After a failed probe the next one waits, first for up to probeWait and later for
	// up to maxProbeWait. This bounds how late it is noticed that the server is back.
	probeWait    = 240 * time.Millisecond
	maxProbeWait = 1200 * time.Millisecond
	// probeReads is how many reads of one probe must fail. One may fail by chance.
	probeReads = 2
)

// A breaker is the circuit breaker of the reads. It opens when the server cannot
// answer, or answers no read because of our token or the mount. Reads then fail at
// once: requests get a cached entry or a fast 503, and a server that comes back gets
// one probe instead of all the reads that wait.
//
// Only probes open and close it. A probe reads keys that this service makes up.
// Clients choose the keys of all other reads, and a healthy server may fail at some
// keys; so a read that fails only triggers a probe.
//
// A breaker is safe for concurrent use. Make one with newBreaker.
type breaker struct {
	log *zap.Logger

	mu   sync.Mutex
	open bool
	// probing is set while a probe is under way. The next one starts at nextProbe at
	// the earliest.
	probing   bool
	nextProbe time.Time
	waits     backoff.Exponential
	// outdated is set if the probe under way began before reset.
	outdated bool
	// rejected counts the reads that failed because the breaker was open.
	rejected uint64
}

func newBreaker(log *zap.Logger) *breaker {
	return &breaker{log: log, waits: backoff.Exponential{First: probeWait, Max: maxProbeWait}}
}

// BreakerStatus is the status of the circuit breaker of a vault object's reads.
type BreakerStatus struct {
	// Open is set while reads fail at once.
	Open bool
	// Rejected counts the reads that failed at once.
	Rejected uint64
}

func (b *breaker) status() BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return BreakerStatus{Open: b.open, Rejected: b.rejected}
}

// allow reports whether a read may be sent. If probe is set, the caller first probes
// the server and calls probed, which decides.
func (b *breaker) allow(now time.Time) (ok, probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return true, false
	}
	if b.startProbe(now) {
		return false, true
	}
	b.rejected++
	return false, false
}

// failed reports whether the caller has to probe the server and call probed, after a
// read that failed or is slow.
func (b *breaker) failed(now time.Time) (probe bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.startProbe(now)
}

// startProbe reports whether a probe is due, and marks it as under way. The caller
// holds mu.
func (b *breaker) startProbe(now time.Time) bool {
	if b.probing || now.Before(b.nextProbe) {
		return false
	}
	b.probing = true
	return true
}

// probed records the outcome of a probe, nil for a success, and reports whether reads
// may be sent.
func (b *breaker) probed(problem *Error, now time.Time) (ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	outdated := b.outdated
	b.probing, b.outdated = false, false
	switch {
	case problem != nil && (problem.inconclusive || outdated):
	case problem != nil && problem.systemic():
		b.nextProbe = now.Add(b.waits.Next())
		if !b.open {
			b.open = true
			b.log.Warn("vault circuit breaker opened")
		}
	default:
		b.close()
		b.nextProbe = now.Add(probeWait)
	}
	return !b.open
}

// reset closes the breaker without a probe, because of a new token for example. If
// the reads fail all the same, the first of them triggers a probe.
func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close()
	b.nextProbe, b.outdated = time.Time{}, b.probing
}

// close lets reads through. The caller holds mu.
func (b *breaker) close() {
	if b.open {
		b.log.Info("vault circuit breaker closed", zap.Uint64("rejected", b.rejected))
	}
	b.open = false
	b.waits.Reset()
}

// systemic reports whether the failure may concern the vault object as a whole, so
// that reads of other records would fail too. An answer about a single record does
// not, and neither does a 403 by a policy, which may cover other records.
func (e *Error) systemic() bool {
	switch e.State {
	case StateFailing:
		return e.status >= 500 || e.status == 412 || e.status == 472 || e.status == 473 || e.status == 474
	case StateUnreachable, StateSealed, StateLimited, StateTokenRejected, StateLoginRefused, StateNoMount, StateWrongVersion:
		return true
	case StateUnknown, StateOK, StateForbidden, StateNotCurrent, stateCount:
	}
	return false
}

// rejection is the error of a read that the breaker does not allow.
func (v *Vault) rejection() *Error {
	s := v.State()
	if s == StateOK || s == StateUnknown {
		s = StateUnreachable
	}
	problem := fail(s, 0, "the last reads from %s brought no answer (state %s), so this one was not sent; the server is probed again within %s", v.cfg.Address, s, maxProbeWait)
	if last := v.health.last(); last != nil && last.State == s {
		problem.moment = "; the last read failed because: " + last.detail
	}
	problem.inconclusive = true
	return problem
}
