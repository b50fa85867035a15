package vaultkv

import (
	"context"
	"net"
	"runtime"
	"time"

	"go.uber.org/zap"
)

// SetPoll makes Run look more often than is good for a server.
func (v *Vault) SetPoll(d time.Duration) { v.poll = d }

// CloseIdle closes the connections that would outlive a test.
func (v *Vault) CloseIdle() { v.conn.closeIdle() }

// CloseSync ends the syncs that would outlive a test.
func (v *Vault) CloseSync() { v.syncer.close() }

// SetAnswerBytes lets a short answer be too long.
func (v *Vault) SetAnswerBytes(n int64) {
	for _, e := range v.conn.endpoints {
		e.answerBytes = n
	}
}

// SetListBytes lets a short list be too long.
func (v *Vault) SetListBytes(n int64) { v.listBytes = n }

// LiesIn compares two mounts.
var LiesIn = liesIn

// KeysIn reads an answer to LIST.
var KeysIn = keysIn

// Maintain does what Run does now and then for the connections.
func (v *Vault) Maintain(ctx context.Context) {
	v.conn.maintain()
	v.conn.observe(ctx)
}

// DropConnections lets the next request make a new connection.
func (v *Vault) DropConnections() {
	for _, e := range v.conn.endpoints {
		e.retire(e.pool.Load())
	}
}

// AgeConnections lets the connections be older than they are. Nothing may use
// them meanwhile.
func (v *Vault) AgeConnections(d time.Duration) {
	for _, e := range v.conn.endpoints {
		e.pool.Load().born = e.pool.Load().born.Add(-d)
	}
}

// SetDial makes all connections come from dial.
func (v *Vault) SetDial(dial func(context.Context, string, string) (net.Conn, error)) {
	for _, e := range v.conn.endpoints {
		e.dial = dial
		e.pool.Store(e.newPool())
	}
}

// Token returns the Vault token in use.
func (v *Vault) Token() string { return v.session.Token() }

// CloseBreaker waits for the probe under way, if any, and closes the circuit breaker
// whatever the outcome.
func (v *Vault) CloseBreaker() {
	for {
		v.breaker.mu.Lock()
		probing := v.breaker.probing
		v.breaker.mu.Unlock()
		if !probing {
			v.breaker.reset()
			return
		}
		runtime.Gosched()
	}
}

// PathsOf returns the paths that an entry is read and written at, and deleted at, none
// where the key can be none.
func PathsOf(c Config, key string) map[string]string {
	l, all := newLayout(c), map[string]string{}
	if p, ok := l.object(key); ok {
		all["data"] = p
	}
	if p, ok := l.whole(key); ok {
		all["metadata"] = p
	}
	return all
}

// A Node is what is known of a node.
type Node struct {
	Answers, Active bool
	// LeftAgo is how long ago it was left, 0 for never.
	LeftAgo time.Duration
}

// Choose returns which node is asked first.
func Choose(nodes []Node, inUse int) int {
	now := time.Now()
	var all []nodeState
	for _, n := range nodes {
		s := nodeState{answers: n.Answers, active: n.Active, asked: now}
		if n.LeftAgo > 0 {
			s.left = now.Add(-n.LeftAgo)
		}
		all = append(all, s)
	}
	return choose(all, inUse, now)
}

// CompareIndexes compares two indexes.
var CompareIndexes = comparePositions

// An IndexedWrite is a write that was answered with an index, and when it began
// and ended.
type IndexedWrite struct {
	Index        string
	Began, Ended int
}

// KeptIndex returns the index that is kept after some writes.
func KeptIndex(writes []IndexedWrite) string {
	var kept index
	start := time.Now()
	for _, w := range writes {
		kept.merge(index{w.Index, start.Add(time.Duration(w.Began)), start.Add(time.Duration(w.Ended))})
	}
	return kept.value
}

// Known returns how many clusters are remembered.
func (cs *Clusters) Known() int {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return len(cs.byID)
}

// A Health logs the states that it is told.
type Health struct{ h *health }

// NewHealth returns the part that logs the state.
func NewHealth(log *zap.Logger) Health { return Health{newHealth(log)} }

// Record is told the outcome of a request.
func (h Health) Record(s State, format string, args ...any) {
	if s == StateOK {
		h.h.succeeded()
		return
	}
	h.h.failed(fail(s, 0, format, args...))
}

// Tick is what Run does at each poll.
func (h Health) Tick() { h.h.logPending() }
