package vaultkv_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/test/pipes"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// A fakeCluster is what nodes of OpenBao or Vault do in a cluster, on pipes instead
// of sockets, so that it works on the fake clock of a bubble of testing/synctest.
// It has the mounts kong-auth (KV v1) and state (KV v2).
type fakeCluster struct {
	// ID is the cluster_id.
	ID string
	// Indexes says that answers name an index, and that those of requests count.
	Indexes bool
	// ForwardReads says that standbys answer nothing themselves.
	ForwardReads bool
	// RefuseForwarding says that the header that asks for it is answered with 400,
	// as by Vault Enterprise, and a lagging node with 412.
	RefuseForwarding bool
	// NoHA is what a lone server says of itself.
	NoHA bool
	// Boast is how much further the indexes of answers say that the cluster is.
	Boast int
	// CASRequired refuses writes to the mount state that name no version.
	CASRequired bool
	// Lag is how long a standby takes to get what was committed.
	Lag time.Duration

	t     *testing.T
	mu    sync.Mutex
	log   []fakeEntry
	nodes []*fakeNode
	// leader is what the nodes with a quorum take for the active one, -1 for none.
	leader int
	writes map[string]int
}

type fakeEntry struct {
	path     string
	document string // "" for a deletion
}

// A fakeNode is one node. Its fields belong to the mutex of the cluster.
type fakeNode struct {
	c       *fakeCluster
	n       int
	applied int
	// cut: the others are not reached. active: it takes itself for the leader.
	cut, active bool
	// down: nothing listens. deaf: no answer comes. mute: no health is told.
	down, deaf, mute bool
	// slow is how long the answers to anything but health take.
	slow  time.Duration
	asked map[string]int
	pipes *pipes.Listener
}

func newFakeCluster(t *testing.T, c *fakeCluster) *fakeCluster {
	t.Helper()
	if c.ID == "" {
		c.ID = "cluster-one"
	}
	c.t, c.writes = t, map[string]int{}
	for i := range 3 {
		n := &fakeNode{c: c, n: i, active: i == 0, asked: map[string]int{}}
		c.nodes = append(c.nodes, n)
		n.pipes = pipes.Serve(t, n)
	}
	return c
}

// addresses are of the given nodes.
func addresses(nodes ...int) string {
	var all []string
	for _, n := range nodes {
		all = append(all, fmt.Sprintf("http://n%d:8200", n))
	}
	return strings.Join(all, ",")
}

func (c *fakeCluster) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n := c.nodes[address[1]-'0']
	c.mu.Lock()
	down := n.down
	c.mu.Unlock()
	if down {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	ours, _, err := n.pipes.Dial(ctx)
	return ours, err
}

// set changes the cluster while it runs.
func (c *fakeCluster) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// isolate cuts a node off. An active one goes on to take itself for that for
// its lease.
func (c *fakeCluster) isolate(n int) {
	c.set(func() {
		c.nodes[n].cut = true
		if c.leader == n {
			c.leader = -1
			time.AfterFunc(2500*time.Millisecond, func() { c.set(func() { c.nodes[n].active = false }) })
		}
	})
}

// elect makes a node the active one.
func (c *fakeCluster) elect(n int) {
	c.set(func() {
		for _, other := range c.nodes {
			if !other.cut {
				other.active = false
			}
		}
		c.leader, c.nodes[n].active, c.nodes[n].applied = n, true, len(c.log)
	})
}

// put is a write that another client makes at the active node.
func (c *fakeCluster) put(path, document string) {
	c.set(func() { c.commit(fakeEntry{path, document}) })
}

// commit adds to the log. The caller holds mu.
func (c *fakeCluster) commit(e fakeEntry) {
	c.log = append(c.log, e)
	c.writes[e.path]++
	at := len(c.log)
	for i, n := range c.nodes {
		switch {
		case n.cut:
		case i == c.leader:
			n.applied = at
		default:
			time.AfterFunc(c.Lag, func() {
				c.set(func() {
					if !n.cut {
						n.applied = max(n.applied, at)
					}
				})
			})
		}
	}
}

// state is what a node has of a path. The caller holds mu.
func (n *fakeNode) state(path string) (document string, version int) {
	for _, e := range n.c.log[:n.applied] {
		if e.path == path {
			document = e.document
			version++
		}
	}
	return document, version
}

func (n *fakeNode) index() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"cluster":%q,"value":"%d"}`, n.c.ID, n.applied+n.c.Boast))
}

// askedFor is how often a node was asked for what begins with a path.
func (c *fakeCluster) askedFor(n int, prefix string) (sum int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, times := range c.nodes[n].asked {
		if strings.HasPrefix(path, prefix) {
			sum += times
		}
	}
	return sum
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := n.c
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	n.asked[path]++
	down, deaf, slow := n.down, n.deaf || path == "sys/health" && n.mute, n.slow
	c.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if deaf {
		<-r.Context().Done()
		return
	}
	if slow > 0 && path != "sys/health" {
		pass(r.Context(), slow)
	}
	status, header, out := n.answer(r, path, body)
	if status == 0 {
		// A write that a leader without a quorum waits for.
		pass(r.Context(), 2500*time.Millisecond)
		status, out = 500, `{"errors":["failed to write: leadership lost while committing log"]}`
	}
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, out)
}

// pass is time.Sleep, for as long as the client is there.
func pass(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// every does something over and over until the test ends.
func every(t *testing.T, d time.Duration, do func()) {
	t.Helper()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			do()
			pass(ctx, d)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

const noActiveNode = `{"errors":["local node not active but active cluster node not found"]}`

func (n *fakeNode) answer(r *http.Request, path string, body []byte) (status int, header http.Header, out string) {
	c := n.c
	c.mu.Lock()
	defer c.mu.Unlock()
	switch path {
	case "sys/health":
		return 200, nil, fmt.Sprintf(`{"initialized":true,"sealed":false,"standby":%t,"cluster_id":%q}`, !n.active, c.ID)
	case "sys/leader":
		return 200, nil, fmt.Sprintf(`{"ha_enabled":%t}`, !c.NoHA)
	case "sys/internal/ui/mounts/kong-auth":
		return 200, nil, `{"data":{"type":"kv","options":{"version":"1"}}}`
	case "sys/internal/ui/mounts/state":
		return 200, nil, `{"data":{"type":"kv","options":{"version":"2"}}}`
	}
	asksForward := r.Header.Get("X-Vault-Inconsistent") == "forward-active-node"
	if asksForward && (c.RefuseForwarding || !c.Indexes) {
		return 400, nil, `{"errors":["forwarding via header X-Vault-Inconsistent=forward-active-node disabled in configuration"]}`
	}
	if n.active {
		return n.serve(r, path, body)
	}
	if wanted := position(r.Header.Get("X-Vault-Index"), c.ID); c.Indexes && wanted > n.applied {
		switch {
		case c.RefuseForwarding:
			return 412, nil, `{"errors":["required index state not present"]}`
		case !asksForward:
			return 429, nil, `{"errors":[]}`
		}
		return n.forward(r, path, body)
	}
	if c.ForwardReads {
		return n.forward(r, path, body)
	}
	if r.Method != http.MethodGet {
		if cas, is := casOf(body); is {
			if _, version := n.state(path); version != cas {
				return 400, nil, `{"errors":["check-and-set parameter did not match the current version"]}`
			}
		}
		return n.forward(r, path, body)
	}
	return n.serve(r, path, body)
}

// forward passes a request on to the active node, or says where that is.
func (n *fakeNode) forward(r *http.Request, path string, body []byte) (int, http.Header, string) {
	c := n.c
	switch {
	case n.cut && c.leader >= 0:
		return 307, http.Header{"Location": {fmt.Sprintf("http://n%d:8200/v1/%s", c.leader, path)}}, ""
	case n.cut || c.leader < 0:
		return 500, nil, noActiveNode
	}
	return c.nodes[c.leader].serve(r, path, body)
}

// serve answers from what the node has.
func (n *fakeNode) serve(r *http.Request, path string, body []byte) (int, http.Header, string) {
	c := n.c
	named := func(status int, out string) (int, http.Header, string) {
		if !c.Indexes {
			return status, nil, out
		}
		return status, http.Header{"X-Vault-Index": {n.index()}}, out
	}
	document, version := n.state(path)
	switch {
	case r.Method != http.MethodGet && n.cut:
		return 0, nil, ""
	case r.Method == http.MethodDelete:
		c.commit(fakeEntry{path, ""})
		return named(204, "")
	case r.Method != http.MethodGet && strings.HasPrefix(path, "state/"):
		cas, is := casOf(body)
		switch {
		case is && cas != version:
			return 400, nil, `{"errors":["check-and-set parameter did not match the current version"]}`
		case !is && c.CASRequired:
			return 400, nil, `{"errors":["check-and-set parameter required for this call"]}`
		}
		var in struct{ Data json.RawMessage }
		_ = json.Unmarshal(body, &in)
		c.commit(fakeEntry{path, string(in.Data)})
		return named(200, fmt.Sprintf(`{"data":{"version":%d}}`, version+1))
	case r.Method != http.MethodGet:
		c.commit(fakeEntry{path, string(body)})
		return named(204, "")
	case r.URL.Query().Get("list") == "true":
		keys := map[string]bool{}
		for _, e := range c.log[:n.applied] {
			if key, under := strings.CutPrefix(e.path, path+"/"); under {
				keys[key] = e.document != ""
			}
		}
		maps.DeleteFunc(keys, func(_ string, there bool) bool { return !there })
		all, _ := json.Marshal(map[string]any{"data": map[string]any{"keys": sorted(keys)}})
		return named(200, string(all))
	case document == "" && version > 0 && strings.HasPrefix(path, "state/"):
		return named(404, fmt.Sprintf(`{"data":{"data":null,"metadata":{"version":%d}}}`, version))
	case document == "":
		return 404, nil, `{"errors":[]}`
	case strings.HasPrefix(path, "state/"):
		return named(200, fmt.Sprintf(`{"data":{"data":%s,"metadata":{"version":%d}}}`, document, version))
	}
	return named(200, fmt.Sprintf(`{"data":%s}`, document))
}

func sorted(set map[string]bool) (all []string) {
	for key := range set {
		all = append(all, key)
	}
	return all
}

func casOf(body []byte) (int, bool) {
	var in struct{ Options struct{ CAS *int } }
	if json.Unmarshal(body, &in) != nil || in.Options.CAS == nil {
		return 0, false
	}
	return *in.Options.CAS, true
}

// position is that of an index of the cluster, 0 for one of another.
func position(index, cluster string) int {
	raw, _ := base64.StdEncoding.DecodeString(index)
	var said struct{ Cluster, Value string }
	if json.Unmarshal(raw, &said) != nil || said.Cluster != cluster {
		return 0
	}
	at, _ := strconv.Atoi(said.Value)
	return at
}

// replica returns the engine of the credentials and that of the state of one
// replica, whose addresses are the given nodes.
func (c *fakeCluster) replica(clusters *vaultkv.Clusters, nodes ...int) (v, state *vaultkv.Vault, logs *observer.ObservedLogs) {
	c.t.Helper()
	cfg := goodConfig()
	cfg.Address, cfg.Token = addresses(nodes...), vaultToken
	log, logs := newLog()
	if clusters == nil {
		clusters = vaultkv.NewClusters(vaultkv.DefaultProofAge)
	}
	v, err := clusters.New(cfg, log)
	if err != nil {
		c.t.Fatal(err)
	}
	v.SetDial(c.dial)
	c.t.Cleanup(v.CloseIdle)
	if state, err = v.WithMount("state", "state", vaultkv.KV2, log); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(state.CloseSync)
	return v, state, logs
}

// syncs is how often the sync entry was written.
func (c *fakeCluster) syncs() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes["state/data/sync"]
}

// switches counts how often another address came into use.
func switches(logs *observer.ObservedLogs) int {
	return logs.FilterMessage("vault address changed").Len()
}
