package vaultkv

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// lookInterval is how often the health of all addresses is asked for, and
	// loneLookInterval the same where there is nothing to choose from: then it is
	// only about which cluster it is.
	lookInterval     = time.Second
	loneLookInterval = 15 * time.Second
	// awayFor is how long an address that was left is not gone back to while the
	// one in use answers.
	awayFor = 15 * time.Second
	// activeFor is how long a node is taken for the active one after it said so.
	activeFor = 2 * lookInterval
)

// A node is what is known of the node at an address. The zero node is unknown. It
// is safe for concurrent use.
type node struct {
	mu    sync.Mutex
	state nodeState
}

type nodeState struct {
	// answers says that it answers and is unsealed, active that it says that it
	// is the active node. at is when it was asked for that.
	answers, active bool
	at              time.Time
	// left is when requests last went elsewhere.
	left time.Time
}

func (n *node) now() nodeState {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// said takes note of what the node answered when it was asked for its health.
func (n *node) said(h *nodeHealth, answers bool, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.answers = answers && !h.Sealed
	n.state.active = n.state.answers && h.Initialized && !h.Standby && !h.PerfStandby && h.DR != "secondary"
	n.state.at = asked
}

// leave takes note of when requests last went elsewhere, zero for here.
func (n *node) leave(at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.left = at
}

// A nodeHealth is what sys/health answers.
type nodeHealth struct {
	Initialized bool   `json:"initialized"`
	Sealed      bool   `json:"sealed"`
	Standby     bool   `json:"standby"`
	PerfStandby bool   `json:"performance_standby"`
	DR          string `json:"replication_dr_mode"`
	ClusterID   string `json:"cluster_id"`
}

// watch looks at the nodes until ctx ends.
func (c *connection) watch(ctx context.Context) {
	for {
		wait := lookInterval
		if c.look(ctx); len(c.endpoints) == 1 {
			wait = loneLookInterval
		}
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// look asks every node for its health, and lets requests go to the active one.
func (c *connection) look(ctx context.Context) {
	inUse := c.good.Load()
	all := make([]nodeHealth, len(c.endpoints))
	var asking sync.WaitGroup
	for i, e := range c.endpoints {
		asking.Go(func() {
			asked := time.Now()
			answers := c.ask(ctx, e, "sys/health?standbyok=true&perfstandbyok=true", &all[i])
			e.node.said(&all[i], answers, asked)
		})
	}
	asking.Wait()
	if ctx.Err() != nil {
		return
	}
	c.join(all, int(inUse))
	states := make([]nodeState, len(c.endpoints))
	for i, e := range c.endpoints {
		states[i] = e.node.now()
	}
	c.leaveFor(int(inUse), choose(states, int(inUse), time.Now()))
}

// ask asks a node without a token, and says whether it got an answer.
func (c *connection) ask(ctx context.Context, e *endpoint, what string, into any) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url.String()+"/v1/"+what, http.NoBody)
	if err != nil {
		return false
	}
	// Some servers are set to pass on what has no such header, and then answer for
	// another node.
	r.Header.Set(inconsistentHeader, failInstead)
	resp, err := e.send(r, nil, min(c.timeout, lookInterval))
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// join enters the cluster of the node in use, or of another one while that does
// not tell. The addresses must be of one cluster.
func (c *connection) join(all []nodeHealth, inUse int) {
	id := all[inUse].ClusterID
	for i := range all {
		if id == "" {
			id = all[i].ClusterID
		}
	}
	if id != "" {
		c.cluster.Store(c.clusters.enter(id, c.cluster.Load()))
	}
}

// leave says that the connection is used no longer.
func (c *connection) leave() { c.clusters.leave(c.cluster.Load()) }

// choose returns the node to ask first: the one in use while it is active, else
// the first that is active, else the one in use while it answers, else the first
// that does. An active node that was left a moment ago is not gone back to while
// the one in use answers: it may not be able to reach the others.
func choose(nodes []nodeState, inUse int, now time.Time) int {
	if nodes[inUse].active {
		return inUse
	}
	answers := nodes[inUse].answers
	to := slices.IndexFunc(nodes, func(n nodeState) bool {
		return n.active && (!answers || n.left.IsZero() || now.Sub(n.left) >= awayFor)
	})
	if to < 0 && !answers {
		to = slices.IndexFunc(nodes, func(n nodeState) bool { return n.answers })
	}
	if to < 0 {
		return inUse
	}
	return to
}

// leaveFor lets requests go to another address, unless they left the one that is
// to be left already: what a request learned long ago must not undo what is
// known now.
func (c *connection) leaveFor(from, to int) {
	if from == to || !c.good.CompareAndSwap(int32(from), int32(to)) { //nolint:gosec // there are few addresses
		return
	}
	c.endpoints[from].node.leave(time.Now())
	c.endpoints[to].node.leave(time.Time{})
	c.log.Info("vault address changed", zap.String("address", c.endpoints[to].text), zap.String("was", c.endpoints[from].text))
}

// knownActive says whether an answer came from what a moment ago said that it is
// the active node. Behind a lone address there may be many nodes.
func (c *connection) knownActive(e *endpoint) bool {
	if e == nil || len(c.endpoints) == 1 {
		return false
	}
	n := e.node.now()
	return n.active && time.Since(n.at) <= activeFor
}
