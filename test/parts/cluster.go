package parts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ClusterConfig configures a cluster.
type ClusterConfig struct {
	// Binary is the program (bao), and Dir an existing folder for the nodes.
	Binary, Dir string
	// NoStandbyReads is disable_standby_reads.
	NoStandbyReads bool
	// Patience is performance_multiplier, 1 to 10: the larger, the later the nodes
	// elect another leader. With 1, the default here, an election takes two or three
	// seconds. The default of the server is 5.
	Patience int
}

// A Cluster is three OpenBao servers with a common storage (raft). There are links
// between any two of them, one for each direction, and a proxy for the clients of each.
// It is safe for concurrent use.
type Cluster struct {
	RootToken string
	// Nodes are its servers, in no particular order.
	Nodes []*Node

	mu      sync.Mutex
	config  ClusterConfig
	sealKey string
	links   map[way]*Link
	ran     []*Process
	// homes counts the calls of Furnish.
	homes int
}

// A way is a direction between two nodes.
type way struct{ from, to *Node }

const clusterSize = 3

// StartCluster starts a cluster and waits until all its nodes answer. It must be closed.
func StartCluster(ctx context.Context, config ClusterConfig) (*Cluster, error) {
	if config.Patience == 0 {
		config.Patience = 1
	}
	for attempt := 1; ; attempt++ {
		c := &Cluster{config: config, links: map[way]*Link{}}
		c.config.Dir = filepath.Join(config.Dir, "cluster-"+strconv.Itoa(attempt))
		c.sealKey = filepath.Join(c.config.Dir, "seal.key")
		err := c.start(ctx)
		if err == nil {
			return c, nil
		}
		c.Close()
		// Another program may have taken a port since it was chosen.
		if attempt == 3 || !strings.Contains(err.Error(), "address already in use") {
			return nil, err
		}
	}
}

func (c *Cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	// With the same key each node unseals itself.
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	if err := os.Mkdir(c.config.Dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(c.sealKey, key, 0o600); err != nil {
		return err
	}
	for i := range clusterSize {
		name := "n" + strconv.Itoa(i+1)
		c.Nodes = append(c.Nodes, &Node{Name: name, cluster: c, dir: filepath.Join(c.config.Dir, name)})
	}
	for _, from := range c.Nodes {
		for _, to := range c.Nodes {
			c.links[way{from, to}] = &Link{}
		}
	}
	for _, n := range c.Nodes {
		if err := n.open(ctx); err != nil {
			return err
		}
	}
	first := c.Nodes[0]
	if err := c.found(ctx, first); err != nil {
		return err
	}
	// The other nodes join the first one when they start.
	for _, n := range c.Nodes[1:] {
		if err := n.launch(); err != nil {
			return err
		}
	}
	return c.Await(ctx)
}

// found starts the first node and initializes the cluster.
func (c *Cluster) found(ctx context.Context, n *Node) error {
	if err := n.launch(); err != nil {
		return err
	}
	var made struct {
		RootToken string `json:"root_token"`
	}
	err := Await(ctx, n.process(), func(ctx context.Context) error {
		return n.Do(ctx, "PUT", "sys/init", map[string]int{"recovery_shares": 1, "recovery_threshold": 1}, &made)
	})
	if err != nil {
		return n.process().failed(err)
	}
	c.RootToken = made.RootToken
	for _, n := range c.Nodes {
		n.RootToken = made.RootToken
	}
	return n.Ready(ctx)
}

// Await waits until all nodes answer and one of them leads.
func (c *Cluster) Await(ctx context.Context) error {
	for _, n := range c.Nodes {
		if err := n.Ready(ctx); err != nil {
			return err
		}
	}
	_, err := c.Leader(ctx)
	return err
}

// Close stops all nodes and closes the links.
func (c *Cluster) Close() {
	var all sync.WaitGroup
	for _, n := range c.Nodes {
		all.Go(n.close)
	}
	all.Wait()
}

// Processes returns all processes so far, also those that have ended.
func (c *Cluster) Processes() []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Process(nil), c.ran...)
}

// Leader waits until exactly one of the nodes that are not isolated leads, and returns it.
func (c *Cluster) Leader(ctx context.Context) (*Node, error) {
	var leader *Node
	err := Await(ctx, nil, func(ctx context.Context) error {
		active := make([]bool, len(c.Nodes))
		var all sync.WaitGroup
		for i, n := range c.Nodes {
			all.Go(func() { active[i] = !c.isolated(n) && n.Active(ctx) })
		}
		all.Wait()
		leader = nil
		for i, n := range c.Nodes {
			if active[i] && leader != nil {
				return fmt.Errorf("both %s and %s report that they lead", leader.Name, n.Name)
			}
			if active[i] {
				leader = n
			}
		}
		if leader == nil {
			return errors.New("no node leads")
		}
		return nil
	})
	return leader, err
}

// Others returns all nodes except one.
func (c *Cluster) Others(than *Node) []*Node {
	var others []*Node
	for _, n := range c.Nodes {
		if n != than {
			others = append(others, n)
		}
	}
	return others
}

// From returns all nodes, beginning with first.
func (c *Cluster) From(first *Node) []*Node { return append([]*Node{first}, c.Others(first)...) }

// StepDown makes the leader step down, and returns it.
func (c *Cluster) StepDown(ctx context.Context) (*Node, error) {
	n, err := c.Leader(ctx)
	if err != nil {
		return nil, err
	}
	return n, n.Do(ctx, "PUT", "sys/step-down", nil, nil)
}

// Link returns the link from one node to another.
func (c *Cluster) Link(from, to *Node) *Link { return c.links[way{from, to}] }

// Isolate applies a method such as (*Link).Cut or (*Link).Silence to all links between a
// node and the others. Clients still reach it.
func (c *Cluster) Isolate(n *Node, do func(*Link)) {
	for _, other := range c.Others(n) {
		do(c.Link(n, other))
		do(c.Link(other, n))
	}
}

// Heal restores all links and proxies.
func (c *Cluster) Heal() {
	for _, l := range c.links {
		l.Restore()
		l.SetDelay(0)
	}
	for _, n := range c.Nodes {
		n.Clients.SetReset(false)
		n.Clients.SetLatency(0)
	}
}

func (c *Cluster) isolated(n *Node) bool {
	for _, other := range c.Others(n) {
		there, _ := c.Link(n, other).look()
		back, _ := c.Link(other, n).look()
		if there == linkPasses && back == linkPasses {
			return false
		}
	}
	return true
}

// SetStandbyReads sets whether standbys answer reads themselves, and restarts all nodes.
func (c *Cluster) SetStandbyReads(ctx context.Context, on bool) error {
	c.mu.Lock()
	c.config.NoStandbyReads = !on
	c.mu.Unlock()
	return c.Restart(ctx)
}

// Restart kills all nodes and starts them again.
func (c *Cluster) Restart(ctx context.Context) error {
	for _, n := range c.Nodes {
		n.Kill()
	}
	for _, n := range c.Nodes {
		if err := n.launch(); err != nil {
			return err
		}
	}
	return c.Await(ctx)
}

// routes returns the links of a connection to a node.
func (c *Cluster) routes(to *Node) func(net.Conn) (there, back *Link) {
	return func(client net.Conn) (there, back *Link) {
		from, ok := client.RemoteAddr().(*net.TCPAddr)
		if !ok {
			return nil, nil
		}
		nodes := map[int]*Node{}
		var pids []int
		for _, n := range c.Nodes {
			if p := n.process(); p != nil {
				nodes[p.PID()] = n
				pids = append(pids, p.PID())
			}
		}
		n := nodes[owner(from.Port, pids)]
		if n == nil {
			return nil, nil
		}
		return c.Link(n, to), c.Link(to, n)
	}
}

func (c *Cluster) hasRun(p *Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ran = append(c.ran, p)
}

// healthLimit is the timeout of a health request: a stopped process never answers.
const healthLimit = time.Second
