package vaultkv

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// syncEntry is what a sync writes. Its content means nothing.
const syncEntry = "sync"

const (
	// confirmGap keeps confirmations of "not found" at 20 a second.
	confirmGap = 50 * time.Millisecond
	// readBackGap is how long a sync waits before it looks again whether the node
	// in use has got its write.
	readBackGap = 20 * time.Millisecond
	// aloneFor is how long a server that has no standbys is not asked again
	// whether it has.
	aloneFor = time.Minute
)

// Sync returns nil when every later read, through this engine or another one of
// the same cluster, shows at least what had been acknowledged to anyone before
// Sync was called. The mount must be KV v2.
//
// It writes the entry `sync`, which only an active node with a quorum can
// acknowledge; a node that is cut off cannot. Then either the answer named an
// index, which goes along with every later request, or the written version is
// seen at the address in use: a server without indexes, which either does not
// answer stale or has got that far. A server without high availability has one
// node, and needs none of it.
//
// Once Sync has been called, credentials of the cluster are read only while the
// last success is not older than the bound of [NewClusters]; a cluster that
// nobody syncs answers as it can.
//
// Calls that come together share an exchange, which begins after each of them;
// it tries every address. It is bounded by ctx and by Config.Timeout.
func (v *Vault) Sync(ctx context.Context) error {
	if problem := v.syncer.exchanges.join(ctx); problem != nil {
		return problem
	}
	return nil
}

// A syncer proves that the cluster of an engine is current.
type syncer struct {
	vault *Vault
	// exchanges are the syncs. confirmations are syncs that unknown access tokens
	// ask for: anybody can make up as many as they like.
	exchanges, confirmations shared
	// at is the cluster that was proved last. It belongs to the exchange.
	at *cluster
	// version is of the entry as it was last seen or written, for a mount that
	// wants every write to name one (wantsCAS).
	version  int
	wantsCAS bool
}

func newSyncer(v *Vault) *syncer {
	s := &syncer{vault: v}
	s.exchanges = shared{do: s.exchange, limit: v.cfg.Timeout}
	s.confirmations = shared{do: s.exchanges.join, limit: v.cfg.Timeout, gap: confirmGap}
	return s
}

// close ends the syncs under way, and lets no other begin.
func (s *syncer) close() {
	s.confirmations.close()
	s.exchanges.close()
}

// exchange is one sync. There is one at a time.
func (s *syncer) exchange(ctx context.Context) *Error {
	began := time.Now()
	conn := s.vault.conn
	c := conn.cluster.Load()
	if s.at != c && s.at != nil {
		s.at.releasedBy(s)
	}
	s.at = c
	c.usedBy(s)
	if conn.standsAlone(ctx, c) {
		c.proved(began)
		return nil
	}
	indexed, problem := s.write(ctx)
	if problem == nil && !indexed {
		problem = s.readBack(ctx)
	}
	if problem == nil {
		c.proved(began)
	}
	return problem
}

// repeatableKey marks the context of a write that may be done twice.
type repeatableKey struct{}

func isRepeatable(ctx context.Context) bool { return ctx.Value(repeatableKey{}) != nil }

// write writes the entry, and says whether the answer named an index.
func (s *syncer) write(ctx context.Context) (indexed bool, problem *Error) {
	ctx = context.WithValue(ctx, repeatableKey{}, true)
	for {
		a, problem := s.put(ctx)
		switch {
		case problem != nil:
			return false, problem
		case a.Status == 400 && a.Says(casMissing) && !s.wantsCAS:
			s.wantsCAS = true
		case a.Status == 400 && a.Says(casMismatch):
			// Another replica was faster, or a standby does not know of it yet.
			problem = pauseFor(ctx, readBackGap)
		default:
			version, problem := s.vault.writtenVersion(ctx, a)
			if problem != nil {
				return false, problem
			}
			s.version = version
			return a.index.value != "", nil
		}
		if problem == nil {
			problem = s.look(ctx)
		}
		if problem != nil {
			return false, problem
		}
	}
}

func (s *syncer) put(ctx context.Context) (*answer, *Error) {
	full, problem := s.vault.versionedPath(s.vault.layout.data, syncEntry)
	if problem != nil {
		return nil, problem
	}
	body := casBody{Data: json.RawMessage(`{}`)}
	if s.wantsCAS {
		body.Options = &casOptions{s.version}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fail(StateUnknown, 0, "the sync entry is not a JSON object")
	}
	return s.vault.exchange(ctx, func(ctx context.Context) (*api.Response, error) {
		return s.vault.client.Logical().WriteRawWithContext(ctx, full, raw)
	})
}

// look reads the version of the entry.
func (s *syncer) look(ctx context.Context) *Error {
	_, version, _, err := s.vault.readVersion(ctx, syncEntry)
	if err == nil {
		s.version = version
	}
	return err
}

// readBack waits until the address in use shows what was written.
func (s *syncer) readBack(ctx context.Context) *Error {
	for written := s.version; ; {
		if problem := s.look(ctx); problem != nil {
			return problem
		}
		if s.version >= written {
			return nil
		}
		if pauseFor(ctx, readBackGap) != nil {
			return fail(StateNotCurrent, 0, "the node in use does not show what was written to its cluster a moment ago; see whether it reaches the active node, and add the other nodes to addresses")
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) *Error {
	if err := backoff.Sleep(ctx, d); err != nil {
		problem := fail(StateFailing, 0, "the sync did not come to an end in time; check the server's load")
		problem.cause = err
		return problem
	}
	return nil
}

// standsAlone says whether the server has no high availability, and so no
// standbys that could lag. It is asked now and then, without a token.
func (c *connection) standsAlone(ctx context.Context, of *cluster) bool {
	of.mu.Lock()
	known := time.Now().Before(of.alone)
	of.mu.Unlock()
	if known {
		return true
	}
	if c.withStandbys.Load() {
		return false
	}
	leader := struct {
		HA *bool `json:"ha_enabled"`
	}{}
	if !c.ask(ctx, c.endpoints[c.good.Load()], "sys/leader", &leader) || leader.HA == nil {
		return false
	}
	if *leader.HA {
		c.withStandbys.Store(true)
		return false
	}
	of.mu.Lock()
	of.alone = time.Now().Add(aloneFor)
	of.mu.Unlock()
	return true
}
