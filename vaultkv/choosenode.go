package vaultkv

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/internal/backoff"
)

const (
	// observeInterval is the time between two requests for the health of all nodes, and
	// observeLoneInterval the same for a single address, which is asked only for the id
	// of its cluster.
	observeInterval     = time.Second
	observeLoneInterval = 15 * time.Second
	// awayFor is the least time before requests return to a node that they left, while
	// the current node answers.
	awayFor = 15 * time.Second
	// activeFor is how long a node counts as active after it said so.
	activeFor = 2 * observeInterval
)

// A node is what is known of the node at an address. The zero node is unknown. It is
// safe for concurrent use.
type node struct {
	mu    sync.Mutex
	state nodeState
}

type nodeState struct {
	// answers is set if the node answers and is unsealed, active if it says that it is
	// the active node. asked is when it was asked.
	answers, active bool
	asked           time.Time
	// left is when requests last switched to another node, zero if they did not.
	left time.Time
}

func (n *node) now() nodeState {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// observed records the health of the node as of the time it was asked.
func (n *node) observed(h *nodeHealth, answers bool, asked time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.answers = answers && !h.Sealed
	n.state.active = n.state.answers && h.Initialized && !h.Standby && !h.PerfStandby && h.DR != "secondary"
	n.state.asked = asked
}

// setLeft records when requests switched to another node. The zero time means that they
// have switched to this one.
func (n *node) setLeft(at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.state.left = at
}

// A nodeHealth is an answer of sys/health.
type nodeHealth struct {
	Initialized bool   `json:"initialized"`
	Sealed      bool   `json:"sealed"`
	Standby     bool   `json:"standby"`
	PerfStandby bool   `json:"performance_standby"`
	DR          string `json:"replication_dr_mode"`
	ClusterID   string `json:"cluster_id"`
}

// watch observes the nodes until ctx ends.
func (c *connection) watch(ctx context.Context) {
	for {
		wait := observeInterval
		if c.observe(ctx); len(c.endpoints) == 1 {
			wait = observeLoneInterval
		}
		if backoff.Sleep(ctx, wait) != nil {
			return
		}
	}
}

// observe asks every node for its health, and lets requests go to the active one.
func (c *connection) observe(ctx context.Context) {
	inUse := c.current.Load()
	all := make([]nodeHealth, len(c.endpoints))
	var asking sync.WaitGroup
	for i, e := range c.endpoints {
		asking.Go(func() {
			asked := time.Now()
			answers := c.ask(ctx, e, "sys/health?standbyok=true&perfstandbyok=true", &all[i])
			e.node.observed(&all[i], answers, asked)
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
	c.switchTo(int(inUse), choose(states, int(inUse), time.Now()))
}

// ask sends a request without a token to a node, decodes the answer into into, and
// reports whether that succeeded.
func (c *connection) ask(ctx context.Context, e *endpoint, what string, into any) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url.String()+"/v1/"+what, http.NoBody)
	if err != nil {
		return false
	}
	// Without this header a server may be configured to forward the request and answer
	// for another node.
	r.Header.Set(inconsistentHeader, failInstead)
	// An agent may refuse requests without this one (require_request_header).
	r.Header.Set(api.RequestHeaderName, "true")
	resp, err := e.send(&request{Request: r}, min(c.timeout, observeInterval)) //nolint:contextcheck // the request has it
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// join joins the cluster of the current node. If that node does not report a cluster, join
// uses the cluster of another node. All addresses must belong to one cluster.
func (c *connection) join(all []nodeHealth, inUse int) {
	id := all[inUse].ClusterID
	for i := range all {
		if id == "" {
			id = all[i].ClusterID
		}
	}
	if id == "" {
		return
	}
	before := c.cluster.Load()
	now := c.clusters.enter(id, before)
	if before.id != "" && now != before {
		c.mu.Lock()
		c.written = index{}
		c.mu.Unlock()
	}
	c.cluster.Store(now)
}

// leave leaves the cluster when the connection is no longer used.
func (c *connection) leave() { c.clusters.leave(c.cluster.Load()) }

// choose returns the node to ask first: the one in use while it is active, else the
// first active one, else the one in use while it answers, else the first that answers.
// While the one in use answers, an active node that was left a moment ago is not chosen:
// it may not be able to reach the other nodes.
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

// switchTo lets requests go to another address, unless they have already left from:
// what a request learned earlier must not undo what is known now.
func (c *connection) switchTo(from, to int) {
	if from == to || !c.current.CompareAndSwap(int32(from), int32(to)) { //nolint:gosec // there are few addresses
		return
	}
	c.endpoints[from].node.setLeft(time.Now())
	c.endpoints[to].node.setLeft(time.Time{})
	c.log.Info("vault address changed", zap.String("address", c.endpoints[to].text), zap.String("was", c.endpoints[from].text))
}

// knownActive reports whether an answer came from a node that was active a moment ago.
// It is false for a single address, behind which there may be many nodes.
func (c *connection) knownActive(e *endpoint) bool {
	if e == nil || len(c.endpoints) == 1 {
		return false
	}
	n := e.node.now()
	return n.active && time.Since(n.asked) <= activeFor
}
