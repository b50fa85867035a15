package vaultkv

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

// syncEntry is the entry that a sync writes. Its content has no meaning.
const syncEntry = "sync"

const (
	// confirmGap limits confirmations of "not found" to 20 a second.
	confirmGap = 50 * time.Millisecond
	// syncRetryWait is how long a sync waits before it reads its entry again, plus up to a
	// half at random.
	syncRetryWait = 20 * time.Millisecond
	// standaloneFor is how long a server counts as one without standbys after it said so.
	standaloneFor = time.Minute
)

// Sync proves that reads are current: when it has returned nil, every later read through
// an engine of the same cluster shows all writes that had been acknowledged to anyone
// before Sync was called. The mount must be KV v2.
//
// Sync writes the entry `sync`, which only an active node with a quorum can acknowledge.
// If the answer names an index, every later request carries it. Otherwise Sync waits
// until the current address shows the written version. A server without high
// availability has a single node and needs no write.
//
// After the first call, credentials of the cluster are read only while the last
// successful Sync is not older than the bound of [NewClusters]. Without any call they are
// always read.
//
// Concurrent calls share an exchange that begins after each of them and tries every
// address. ctx and Config.Timeout bound it.
func (v *Vault) Sync(ctx context.Context) error {
	if problem := v.syncer.exchanges.join(ctx); problem != nil {
		return problem
	}
	return nil
}

// A syncer proves that the cluster of an engine is current.
type syncer struct {
	vault *Vault
	// exchanges are the syncs. confirmations are the syncs on behalf of unknown access
	// tokens; their rate is limited, since any client can make up such tokens.
	exchanges, confirmations *coalescer
	// at is the cluster that was proved last. Only the running exchange uses it.
	at *cluster
	// version is the version of the entry when it was last read or written. A write has
	// to name it if the mount requires that (wantsCAS).
	version  int
	wantsCAS bool
}

func newSyncer(v *Vault) *syncer {
	s := &syncer{vault: v}
	s.exchanges = newCoalescer(s.exchange, v.cfg.Timeout, 0)
	s.confirmations = newCoalescer(s.exchanges.join, v.cfg.Timeout, confirmGap)
	return s
}

// close cancels the syncs under way, and lets no other begin.
func (s *syncer) close() {
	s.confirmations.close()
	s.exchanges.close()
}

// exchange performs one sync. It does not run concurrently with itself.
func (s *syncer) exchange(ctx context.Context) *Error {
	began := time.Now()
	conn := s.vault.conn
	c := conn.cluster.Load()
	if s.at != c && s.at != nil {
		s.at.detach(s)
	}
	s.at = c
	c.attach(s)
	if conn.standalone(ctx, c) {
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

// repeatableKey is the context key of a write that may be done twice.
type repeatableKey struct{}

func isRepeatable(ctx context.Context) bool { return ctx.Value(repeatableKey{}) != nil }

// write writes the entry, and reports whether the answer named an index.
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
			// Another replica has written it, or a standby lags.
			problem = waitForSync(ctx)
		default:
			version, problem := s.vault.writtenVersion(ctx, a)
			if problem != nil {
				return false, problem
			}
			s.version = version
			return a.index.value != "", nil
		}
		if problem == nil {
			problem = s.readEntry(ctx)
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

// readEntry reads the version of the entry.
func (s *syncer) readEntry(ctx context.Context) *Error {
	_, version, _, err := s.vault.readVersion(ctx, syncEntry)
	if err == nil {
		s.version = version
	}
	return err
}

// readBack waits until the current address shows the written version.
func (s *syncer) readBack(ctx context.Context) *Error {
	for written := s.version; ; {
		if problem := s.readEntry(ctx); problem != nil {
			return problem
		}
		if s.version >= written {
			return nil
		}
		if waitForSync(ctx) != nil {
			return fail(StateNotCurrent, 0, "the current node does not show what was written to its cluster a moment ago; check whether it reaches the active node, and add the other nodes to addresses")
		}
	}
}

// waitForSync waits before the entry is read again.
func waitForSync(ctx context.Context) *Error {
	if err := backoff.Sleep(ctx, backoff.Jitter(syncRetryWait, syncRetryWait/2)); err != nil {
		problem := fail(StateFailing, 0, "the sync did not end in time; check the server's load")
		problem.cause = err
		return problem
	}
	return nil
}

// standalone reports whether the server has no high availability, and so no standbys that
// could lag. The server is asked once a minute, without a token.
func (c *connection) standalone(ctx context.Context, of *cluster) bool {
	of.mu.Lock()
	known := time.Now().Before(of.standaloneUntil)
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
	if !c.ask(ctx, c.endpoints[c.current.Load()], "sys/leader", &leader) || leader.HA == nil {
		return false
	}
	if *leader.HA {
		c.withStandbys.Store(true)
		return false
	}
	of.mu.Lock()
	of.standaloneUntil = time.Now().Add(standaloneFor)
	of.mu.Unlock()
	return true
}
