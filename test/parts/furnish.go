package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The mounts that [Cluster.Furnish] makes: one for credentials in each version of
// the KV engine, and that of the state.
const (
	MountV1    = "kong-auth"
	MountV2    = "kong-auth-v2"
	MountState = "vault-authz"
)

// An AppRole is what logs in to Vault.
type AppRole struct{ RoleID, SecretID string }

// Furnish makes the mounts, empty ones also where there are some, and a role for
// vault-authz with the policies of deploy/vault whose tokens live for ttl. All
// nodes know them when it returns.
func (c *Cluster) Furnish(ctx context.Context, ttl string) (AppRole, error) {
	leader, err := c.Leader(ctx)
	if err != nil {
		return AppRole{}, err
	}
	for mount, kv := range map[string]string{MountV1: KVv1, MountV2: KVv2, MountState: KVv2} {
		if err := errors.Join(leader.Unmount(ctx, mount), leader.Mount(ctx, mount, kv)); err != nil {
			return AppRole{}, err
		}
	}
	rules, err := shippedPolicies(ctx)
	if err != nil {
		return AppRole{}, err
	}
	if err := leader.Do(ctx, "PUT", "sys/policies/acl/vault-authz", map[string]any{"policy": rules}, nil); err != nil {
		return AppRole{}, err
	}
	role, err := leader.AppRole(ctx, "vault-authz", map[string]any{
		"token_policies": []string{"vault-authz"}, "token_no_default_policy": true, "token_ttl": ttl,
	})
	if err != nil {
		return AppRole{}, err
	}
	return role, c.Spread(ctx, leader)
}

// Spread waits until every node has what the leader has now.
func (c *Cluster) Spread(ctx context.Context, leader *Node) error {
	if err := leader.Put(ctx, MountV1, KVv1, "spread-check", map[string]any{"at": leader.Name}); err != nil {
		return err
	}
	for _, n := range c.Nodes {
		err := Await(ctx, n.process(), func(ctx context.Context) error {
			return n.Do(ctx, "GET", MountV1+"/spread-check", nil, nil)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return leader.Delete(ctx, MountV1, KVv1, "spread-check")
}

// shippedPolicies returns what deploy/vault grants, for both mounts of
// credentials.
func shippedPolicies(ctx context.Context) (string, error) {
	module, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module: %w", err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(module))), "deploy", "vault")
	var rules strings.Builder
	for _, shipped := range []struct{ file, mount string }{
		{"kv-v1.hcl", MountV1}, {"kv-v2.hcl", MountV2}, {"state.hcl", MountV1}, {"manage-v1.hcl", MountV1}, {"manage-v2.hcl", MountV2},
	} {
		raw, err := os.ReadFile(filepath.Join(dir, shipped.file))
		if err != nil {
			return "", err
		}
		rules.WriteString(strings.ReplaceAll(string(raw), `"`+MountV1+`/`, `"`+shipped.mount+`/`))
	}
	return rules.String(), nil
}
