package vaultkv

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// DefaultProofAge is a good age for [NewClusters]: two polls of the state and a
// bit.
const DefaultProofAge = 2500 * time.Millisecond

// Clusters are what the vault objects of one process know of the clusters that
// they belong to: how far each has got, and when that was last proved. It is safe
// for concurrent use.
//
// Which cluster a server belongs to is asked without a token (`cluster_id` of
// sys/health). Until that is known, and where it is not told, a vault object
// shares with nobody but the engines that were made with [Vault.Beside].
type Clusters struct {
	proofAge time.Duration

	mu   sync.Mutex
	byID map[string]*cluster
}

// NewClusters returns an empty set. proofAge is how long after the last proof a
// cluster still counts as current, see [Vault.Sync].
func NewClusters(proofAge time.Duration) *Clusters {
	return &Clusters{proofAge: proofAge, byID: map[string]*cluster{}}
}

// New is the function New for vault objects of one process that share what is
// known of their clusters.
func (cs *Clusters) New(c Config, log *zap.Logger) (*Vault, error) { return open(cs, c, log) }

// enter returns the cluster with an id, in place of the one that it was before,
// which may be the same. It ends with leave.
func (cs *Clusters) enter(id string, before *cluster) *cluster {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if before.id == id {
		return before
	}
	c := cs.byID[id]
	if c == nil {
		c = &cluster{id: id, proofAge: cs.proofAge}
		cs.byID[id] = c
	}
	c.members++
	if before.id == "" {
		c.inherit(before)
	}
	cs.drop(before)
	return c
}

func (cs *Clusters) leave(c *cluster) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.drop(c)
}

// drop forgets a cluster that no vault object belongs to. The caller holds mu.
func (cs *Clusters) drop(c *cluster) {
	if c.members--; c.members == 0 && cs.byID[c.id] == c {
		delete(cs.byID, c.id)
	}
}

// A cluster is what is known of one cluster of servers, which may be a single
// one. It is safe for concurrent use.
type cluster struct {
	// id is empty until it is known.
	id       string
	proofAge time.Duration
	// members counts the connections to it. It belongs to Clusters.
	members int

	mu    sync.Mutex
	index index
	// syncer proves that the cluster is current, nil if nobody asked for that;
	// since is when that began, and proof the beginning of the last success.
	syncer       *syncer
	since, proof time.Time
	// alone is until when the server is known to have no standbys.
	alone time.Time
}

// inherit takes over what was known before the id was.
func (c *cluster) inherit(before *cluster) {
	before.mu.Lock()
	index, s, since, proof := before.index, before.syncer, before.since, before.proof
	before.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index.take(index)
	if s != nil && c.syncer == nil {
		c.syncer, c.since = s, since
	}
	if proof.After(c.proof) {
		c.proof = proof
	}
}

// usedBy takes note of who proves that the cluster is current.
func (c *cluster) usedBy(s *syncer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.syncer == nil {
		c.since = time.Now()
	}
	c.syncer = s
}

// releasedBy takes note that somebody does so no longer.
func (c *cluster) releasedBy(s *syncer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.syncer == s {
		c.syncer = nil
	}
}

// proved takes note of a proof that began at a moment.
func (c *cluster) proved(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if began.After(c.proof) {
		c.proof = began
	}
}

// current says whether what the cluster answers is known to be current. Where
// nobody proves it nobody asks for that.
func (c *cluster) current() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.syncer == nil || time.Since(later(c.since, c.proof)) <= c.proofAge
}

// doubtful returns who can confirm that there is nothing under a key, nil where
// a definite answer needs no confirmation: the nodes that answer stale are those
// that name an index.
func (c *cluster) doubtful() *syncer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.index.value == "" {
		return nil
	}
	return c.syncer
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
