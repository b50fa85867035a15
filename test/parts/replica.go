package parts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The vault objects of a replica, one for each version of the KV engine, and the host whose
// requests use the second one.
const (
	ReplicaVaultV1 = "tokens"
	ReplicaVaultV2 = "tokens-v2"
	ReplicaHostV2  = "v2.test"
)

// A ReplicaConfig configures a vault-authz with a [Cluster].
type ReplicaConfig struct {
	// Binary is what [BuildService] made, and Dir an existing folder for its
	// files.
	Binary, Dir string
	// Home has its mounts and its login.
	Home Home
	// Nodes are the nodes for credentials in order of preference, and StateNodes
	// those for the state.
	Nodes, StateNodes []*Node
}

// StartReplica starts a vault-authz with an admin API, and with credentials and state on a
// cluster.
func StartReplica(ctx context.Context, c ReplicaConfig) (*Service, error) {
	secret := filepath.Join(c.Dir, "secret-id")
	if err := os.WriteFile(secret, []byte(c.Home.SecretID+"\n"), 0o600); err != nil {
		return nil, err
	}
	vault := func(name, mount, kv string, nodes []*Node) string {
		var addresses []string
		for _, n := range nodes {
			addresses = append(addresses, n.ClientURL())
		}
		return fmt.Sprintf(`  - name: %s
    addresses: [%s]
    mount: %s
    kv: %s
    login: {approle: {role_id: %s, secret_id_file: %q}}
    cache: {ttl: 20s, max_ttl: 20s, max_stale: 10s, sweep: 20s}
`, name, strings.Join(addresses, ", "), mount, kv, c.Home.RoleID, secret)
	}
	return StartService(ctx, ServiceConfig{Binary: c.Binary, Dir: c.Dir, Entities: `
state: {vault: home, mount: ` + c.Home.State + `}
admin: {listen: "127.0.0.1:0"}
vaults:
` + vault("home", c.Home.V1, KVv1, c.StateNodes) + vault(ReplicaVaultV1, c.Home.V1, KVv1, c.Nodes) + vault(ReplicaVaultV2, c.Home.V2, KVv2, c.Nodes) + `policies:
  - {name: v2, hosts: [` + ReplicaHostV2 + `], vault: ` + ReplicaVaultV2 + `}
  - {name: default, default: true, vault: ` + ReplicaVaultV1 + `}
`})
}
