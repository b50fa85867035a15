package parts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A Home is what a vault-authz needs on a [Cluster]: mounts for credentials in both
// versions of the KV engine, a mount for the state, and a login.
type Home struct {
	V1, V2, State string
	AppRole
}

// An AppRole is the login with a role.
type AppRole struct{ RoleID, SecretID string }

// Furnish creates a home with empty mounts. Its role has the policies of deploy/vault and
// tokens with the given ttl. When it returns, all nodes have the home.
func (c *Cluster) Furnish(ctx context.Context, ttl string) (Home, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return Home{}, err
	}
	c.mu.Lock()
	c.homes++
	// New mounts are faster than emptying the old ones.
	suffix := "-" + strconv.Itoa(c.homes)
	c.mu.Unlock()
	h := Home{V1: "kong-auth" + suffix, V2: "kong-auth-v2" + suffix, State: "vault-authz" + suffix}
	if err := h.mount(ctx, leader); err != nil {
		return Home{}, err
	}
	rules, err := h.shippedPolicies(ctx)
	if err != nil {
		return Home{}, err
	}
	name := "vault-authz" + suffix
	if err := leader.Do(ctx, "PUT", "sys/policies/acl/"+name, map[string]any{"policy": rules}, nil); err != nil {
		return Home{}, err
	}
	h.AppRole, err = leader.CreateAppRole(ctx, name, map[string]any{
		"token_policies": []string{name}, "token_no_default_policy": true, "token_ttl": ttl,
	})
	if err != nil {
		return Home{}, err
	}
	return h, c.spread(ctx, leader, h.V1)
}

func (h *Home) mount(ctx context.Context, leader *Node) error {
	for _, m := range []struct{ mount, kv string }{{h.V1, KVv1}, {h.V2, KVv2}, {h.State, KVv2}} {
		if err := leader.Mount(ctx, m.mount, m.kv); err != nil {
			return err
		}
	}
	return leader.Do(ctx, "POST", h.State+"/config", map[string]any{"max_versions": 1}, nil)
}

// spread waits until every node has what the leader has.
func (c *Cluster) spread(ctx context.Context, leader *Node, mount string) error {
	const key = "spread-check"
	if err := leader.Put(ctx, mount, KVv1, key, map[string]any{"at": leader.Name}); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		err := Await(ctx, n.process(), func(ctx context.Context) error {
			return n.Do(ctx, "GET", mount+"/"+key, nil, nil)
		})
		if err != nil {
			return n.process().failed(err)
		}
	}
	return leader.Delete(ctx, mount, KVv1, key)
}

// shippedPolicies returns the policies of deploy/vault for these mounts.
func (h *Home) shippedPolicies(ctx context.Context) (string, error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(module))), "deploy", "vault")
	var rules strings.Builder
	for _, shipped := range []struct{ file, was, mount string }{
		{"kv-v1.hcl", "kong-auth", h.V1},
		{"manage-v1.hcl", "kong-auth", h.V1},
		{"kv-v2.hcl", "kong-auth", h.V2},
		{"manage-v2.hcl", "kong-auth", h.V2},
		{"state.hcl", "vault-authz", h.State},
	} {
		raw, err := os.ReadFile(filepath.Join(dir, shipped.file))
		if err != nil {
			return "", err
		}
		rules.WriteString(strings.ReplaceAll(string(raw), `"`+shipped.was+`/`, `"`+shipped.mount+`/`))
	}
	return rules.String(), nil
}
