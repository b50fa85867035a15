package state_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// A cluster is a model of three servers that keep one log of writes. The active one
// accepts writes; the others apply them later, and answer reads from what they have.
type cluster struct {
	mu sync.Mutex
	// writes are what was acknowledged, in order. The index of a write is its number.
	writes []written
	nodes  []*server
	active int
	// electing is when the election ends. No node accepts writes before.
	electing time.Time
}

type written struct {
	path     string
	document []byte
	at       time.Time
}

type object struct {
	document []byte
	version  int
}

// A server is what one of them has applied.
type server struct {
	applied int
	objects map[string]object
	delay   time.Duration
	// cut off from the others; clients still reach it.
	cut bool
}

func newCluster() *cluster {
	c := &cluster{}
	for range 3 {
		c.nodes = append(c.nodes, &server{objects: map[string]object{}})
	}
	return c
}

var errServer = errors.New("the server cannot answer")

// catchUp lets a node apply what has reached it. The caller holds mu.
func (c *cluster) catchUp(n int) *server {
	s := c.nodes[n]
	for !s.cut && s.applied < len(c.writes) {
		w := c.writes[s.applied]
		if n != c.active && time.Since(w.at) < s.delay {
			break
		}
		s.objects[w.path] = object{w.document, s.objects[w.path].version + 1}
		s.applied++
	}
	return s
}

// leader returns the active node if it has a majority. The caller holds mu.
func (c *cluster) leader() (*server, error) {
	if time.Now().Before(c.electing) || c.nodes[c.active].cut {
		return nil, errServer
	}
	return c.catchUp(c.active), nil
}

// step changes the cluster at random, and returns the time until the next step.
func (c *cluster) step(random *rand.Rand) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := random.IntN(len(c.nodes))
	switch random.IntN(6) {
	case 0:
		c.nodes[n].delay = time.Duration(random.IntN(600)) * time.Millisecond
	case 1, 2:
		c.cutOff(n, random)
	case 3: // step down
		c.catchUp(n)
		if !c.nodes[n].cut && !c.nodes[c.active].cut {
			c.nodes[n].applied = c.applyAll(n)
			c.active, c.electing = n, time.Now().Add(500*time.Millisecond)
		}
	default:
		for i := range c.nodes {
			c.nodes[i].cut = false
		}
	}
	return time.Duration(200+random.IntN(6000)) * time.Millisecond
}

// cutOff isolates one node. If it was the leader, the others elect one.
func (c *cluster) cutOff(n int, random *rand.Rand) {
	for i := range c.nodes {
		c.nodes[i].cut = false
	}
	c.catchUp(n)
	c.nodes[n].cut = true
	if n == c.active {
		c.active = (n + 1 + random.IntN(2)) % 3
		c.nodes[c.active].applied = c.applyAll(c.active)
		c.electing = time.Now().Add(time.Duration(2+random.IntN(9)) * time.Second)
	}
}

// applyAll lets a node that is elected apply every write. The caller holds mu.
func (c *cluster) applyAll(n int) int {
	s := c.nodes[n]
	for _, w := range c.writes[s.applied:] {
		s.objects[w.path] = object{w.document, s.objects[w.path].version + 1}
	}
	return len(c.writes)
}

// A connection is the engine of one replica: it knows the nodes, uses one, and leaves
// it when it does not answer.
type connection struct {
	*cluster
	random *rand.Rand

	at int
	// index is what the last write or sync returned, and later reads require.
	index int
	// proven is when the last Sync that succeeded began.
	proven time.Time
}

// wait takes the time of a request, and loses an answer now and then.
func (c *connection) wait(ctx context.Context) (lost bool, err error) {
	c.mu.Lock()
	d := time.Duration(1+c.random.IntN(20)) * time.Millisecond
	lost = c.random.IntN(50) == 0
	c.mu.Unlock()
	select {
	case <-time.After(d):
		return lost, ctx.Err()
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// local returns the node that answers a read: the one in use if it has got as far as
// the index, else the active one. The caller holds mu.
func (c *connection) local() (*server, error) {
	s := c.catchUp(c.at)
	if s.applied >= c.index {
		return s, nil
	}
	if s.cut {
		return nil, errServer
	}
	return c.leader()
}

func (c *connection) elsewhere() { c.at = (c.at + 1) % len(c.nodes) }

func (c *connection) ReadVersion(ctx context.Context, path string) ([]byte, int, bool, error) {
	for range 3 {
		lost, err := c.wait(ctx)
		if err != nil {
			return nil, 0, false, err
		}
		c.mu.Lock()
		s, err := c.local()
		if err == nil && !lost {
			o, found := s.objects[path]
			c.mu.Unlock()
			return bytes.Clone(o.document), o.version, found && o.document != nil, nil
		}
		c.elsewhere()
		c.mu.Unlock()
	}
	return nil, 0, false, errServer
}

func (c *connection) WriteVersion(ctx context.Context, path string, document []byte, cas int) (int, bool, error) {
	return c.write(ctx, path, document, func(o object) bool { return o.version == cas })
}

// write writes if a condition holds, which a standby that has not been told an index
// decides by what it has.
func (c *connection) write(ctx context.Context, path string, document []byte, condition func(object) bool) (int, bool, error) {
	if _, err := c.wait(ctx); err != nil {
		return 0, false, err
	}
	c.mu.Lock()
	s := c.catchUp(c.at)
	if s.applied >= c.index && !condition(s.objects[path]) {
		c.mu.Unlock()
		return 0, false, nil
	}
	leader, err := c.leader()
	if s.cut || err != nil {
		c.elsewhere()
		c.mu.Unlock()
		return 0, false, errServer
	}
	if !condition(leader.objects[path]) {
		c.mu.Unlock()
		return 0, false, nil
	}
	c.writes = append(c.writes, written{path, bytes.Clone(document), time.Now()})
	version := c.catchUp(c.active).objects[path].version
	index := len(c.writes)
	c.mu.Unlock()
	lost, err := c.wait(ctx)
	if lost || err != nil {
		return 0, false, errors.Join(errServer, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.index = max(c.index, index)
	return version, true, nil
}

func (c *connection) Sync(ctx context.Context) error {
	began := time.Now()
	for range 3 {
		_, ok, err := c.write(ctx, "sync", []byte("{}"), func(object) bool { return true })
		if ok && err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.proven = began
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errServer
}

func (c *connection) ListUnder(_ context.Context, folder string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.local()
	if err != nil {
		return nil, err
	}
	var names []string
	for path := range s.objects {
		if name, ok := strings.CutPrefix(path, folder+"/"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// credential reads what lies under an access token, as a cache does. It fails without a
// proof that what is read is current.
func (c *connection) credential(ctx context.Context, token string) (string, error) {
	c.mu.Lock()
	proven := c.proven
	c.mu.Unlock()
	if time.Since(proven) > proofLimit {
		return "", errServer
	}
	raw, _, _, err := c.ReadVersion(ctx, "credentials/"+token)
	return string(raw), err
}

const proofLimit = 2500 * time.Millisecond

// putCredential writes without check-and-set, as KV v1 does.
func (c *connection) putCredential(ctx context.Context, token, value string) error {
	var document []byte
	if value != "" {
		document = []byte(value)
	}
	_, ok, err := c.write(ctx, "credentials/"+token, document, func(object) bool { return true })
	if err == nil && !ok {
		err = errServer
	}
	return err
}
