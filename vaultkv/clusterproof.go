package vaultkv

import (
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// DefaultProofAge is a good age for [NewClusters]: a little more than two polls of the
// state.
const DefaultProofAge = 2500 * time.Millisecond

// Clusters holds what the vault objects of one process know about the clusters of their
// servers: the newest index, and when a cluster was last proved to be current. It is
// safe for concurrent use.
//
// A server is asked without a token which cluster it belongs to (`cluster_id` of
// sys/health). Until that is known, a vault object shares its knowledge only
// with the engines made by its [Vault.WithMount].
//
// A server can claim any id. So only the connection that proves a cluster, that of the
// engine which Sync is called on, changes what the others know of it.
type Clusters struct {
	proofAge time.Duration
	// refusals are those of all logins: a server locks a role after a few wrong ones.
	refusals *login.Refusals

	mu   sync.Mutex
	byID map[string]*cluster
}

// NewClusters returns an empty set. proofAge is how long a cluster counts as current
// after the last proof, see [Vault.Sync].
func NewClusters(proofAge time.Duration) *Clusters {
	return &Clusters{proofAge: proofAge, refusals: login.NewRefusals(), byID: map[string]*cluster{}}
}

// enter returns the cluster with the given id in place of before, which may be the same.
// Each cluster that was entered has to be left.
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

// drop removes a member, and forgets a cluster without members. The caller holds mu.
func (cs *Clusters) drop(c *cluster) {
	if c.members--; c.members == 0 && cs.byID[c.id] == c {
		delete(cs.byID, c.id)
	}
}

// A cluster is what is known about one cluster of servers, or about a single server. It
// is safe for concurrent use.
type cluster struct {
	// id is empty until it is known.
	id       string
	proofAge time.Duration
	// members counts the connections to it. Clusters.mu guards it.
	members int

	mu sync.Mutex
	// index is how far the cluster has got, by what was written over the connection of
	// the syncer.
	index index
	// syncer proves that the cluster is current. It is nil if no proof is required. since
	// is when the syncer began, and proof when its last successful sync began.
	syncer       *syncer
	since, proof time.Time
	// standaloneUntil is until when the server is known to have no standbys.
	standaloneUntil time.Time
}

// inherit takes over what was known before the id was known.
func (c *cluster) inherit(before *cluster) {
	before.mu.Lock()
	index, s, since, proof := before.index, before.syncer, before.since, before.proof
	before.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index.merge(index)
	if s != nil && c.syncer == nil {
		c.syncer, c.since = s, since
	}
	if proof.After(c.proof) {
		c.proof = proof
	}
}

// attach sets the syncer that proves that the cluster is current.
func (c *cluster) attach(s *syncer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.syncer == nil {
		c.since = time.Now()
	}
	c.syncer = s
}

// detach removes a syncer, if it is the one that is set.
func (c *cluster) detach(s *syncer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.syncer == s {
		c.syncer = nil
	}
}

// proved records a successful proof by the time that it began.
func (c *cluster) proved(began time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if began.After(c.proof) {
		c.proof = began
	}
}

// current reports whether the answers of the cluster count as current. They always do
// if no proof is required.
func (c *cluster) current() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.syncer == nil || time.Since(later(c.since, c.proof)) <= c.proofAge
}

// confirmer returns the syncer that has to confirm a "not found". It is nil if the
// answer needs no confirmation: only nodes that name an index may answer stale.
func (c *cluster) confirmer() *syncer {
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
