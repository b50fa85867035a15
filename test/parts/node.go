package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A Node is a server of a [Cluster]. Its VaultAPI does not depend on the links.
type Node struct {
	VaultAPI
	Name string
	// Clients is the proxy for clients.
	Clients *Proxy

	cluster *Cluster
	dir     string
	// listens and listensToNodes are its own addresses, for clients and other nodes.
	listens, listensToNodes string
	peers                   *Proxy

	mu  sync.Mutex
	run *Process
}

// open chooses its addresses and starts the proxies in front of them. All nodes must be in
// the cluster, because connections may arrive from now on.
func (n *Node) open(ctx context.Context) error {
	if err := os.Mkdir(n.dir, 0o700); err != nil {
		return err
	}
	var err error
	if n.listens, err = Address(ctx, 0); err != nil {
		return err
	}
	if n.listensToNodes, err = Address(ctx, 0); err != nil {
		return err
	}
	n.VaultAPI = NewVaultAPI("http://"+n.listens, "")
	if n.Clients, err = NewProxy(ctx, n.listens); err != nil {
		return err
	}
	n.peers, err = newRoutedProxy(ctx, n.listensToNodes, n.cluster.routes(n))
	return err
}

// ClientURL returns the URL for clients.
func (n *Node) ClientURL() string { return "http://" + n.Clients.Address() }

// Active says whether it reports to be the leader.
func (n *Node) Active(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	return n.Do(ctx, "GET", "sys/health", nil, nil) == nil
}

// Ready waits until it leads or follows.
func (n *Node) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	p := n.process()
	err := Await(ctx, p, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, healthLimit)
		defer cancel()
		return n.Do(ctx, "GET", "sys/health?standbyok=true", nil, nil)
	})
	return p.failed(err)
}

// Start restarts it, for example after [Node.Kill] or [Node.Seal], and waits until it leads
// or follows.
func (n *Node) Start(ctx context.Context) error {
	n.Kill()
	if err := n.launch(); err != nil {
		return err
	}
	return n.Ready(ctx)
}

// Kill kills it.
func (n *Node) Kill() {
	if p := n.process(); p != nil {
		p.Kill()
	}
}

// Signal sends it a signal, such as SIGSTOP.
func (n *Node) Signal(sig syscall.Signal) error { return n.process().Signal(sig) }

// Seal makes it refuse all requests until [Node.Start].
func (n *Node) Seal(ctx context.Context) error { return n.Do(ctx, "PUT", "sys/seal", nil, nil) }

func (n *Node) process() *Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.run
}

// launch starts the process.
func (n *Node) launch() error {
	file := filepath.Join(n.dir, "server.hcl")
	if err := os.WriteFile(file, []byte(n.settings()), 0o600); err != nil {
		return err
	}
	p, err := Start(Command{
		Name: n.Name, Path: n.cluster.config.Binary, Dir: n.dir,
		Args: []string{"server", "-config=" + file},
		// With autopilot a new node may vote only after 15 seconds.
		Env: append(os.Environ(), "HOME="+n.dir, "BAO_RAFT_AUTOPILOT_DISABLE=1"),
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.run = p
	n.mu.Unlock()
	n.cluster.hasRun(p)
	return nil
}

// settings returns its configuration. The addresses for others are those of its proxies.
func (n *Node) settings() string {
	c := n.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	join := ""
	for _, other := range c.Others(n) {
		join += fmt.Sprintf("  retry_join { leader_api_addr = %q }\n", "http://"+other.listens)
	}
	return fmt.Sprintf(`
log_level = "warn"
cluster_name = "test"
disable_standby_reads = %t
api_addr = %q
cluster_addr = %q
storage "raft" {
  path = %q
  node_id = %q
  performance_multiplier = %d
%s}
listener "tcp" {
  address = %q
  cluster_address = %q
  tls_disable = true
}
seal "static" {
  current_key_id = "test"
  current_key = %q
}
`, c.config.NoStandbyReads, n.ClientURL(), "https://"+n.peers.Address(), n.dir, n.Name, c.config.Patience, join,
		n.listens, n.listensToNodes, "file://"+c.sealKey)
}

func (n *Node) close() {
	if p := n.process(); p != nil {
		p.Stop(5 * time.Second)
	}
	for _, p := range []*Proxy{n.Clients, n.peers} {
		if p != nil {
			_ = p.Close()
		}
	}
}
