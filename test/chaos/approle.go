package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/vault-authz/vault-authz/test/parts"
)

const (
	approleName = "vault-authz"
	approleRole = "auth/approle/role/" + approleName
	approleID   = "role-of-vault-authz"
)

// An approle is the login of a service that has to keep its Vault token alive itself.
type approle struct {
	// ttl is the ttl of its Vault token, in Vault's notation.
	ttl string
}

// makeRole creates the role of the service and writes a new secret id into its file.
func (bed *testbed) makeRole(ctx context.Context) error {
	role, err := bed.vault.CreateAppRole(ctx, approleName, map[string]any{
		"token_policies": []string{"vault-authz-reader"}, "token_ttl": bed.approle.ttl, "token_no_default_policy": false,
	})
	if err != nil {
		return err
	}
	if err := bed.vault.Do(ctx, "POST", approleRole+"/role-id", map[string]any{"role_id": approleID}, nil); err != nil {
		return err
	}
	return parts.ReplaceFile(bed.secretIDFile(), []byte(role.SecretID+"\n"))
}

// revokeLogins revokes every token that came from a login.
func (bed *testbed) revokeLogins(ctx context.Context) error {
	return bed.vault.Do(ctx, "PUT", "sys/leases/revoke-prefix/auth/approle/login", nil, nil)
}

func (bed *testbed) secretIDFile() string { return filepath.Join(bed.dir, "secret-id") }

// credentials configures how the service gets its Vault token.
func (bed *testbed) credentials() string {
	if bed.approle == nil {
		return fmt.Sprintf("token: {file: %q}", bed.tokenFile)
	}
	return fmt.Sprintf("login: {approle: {role_id: %s, secret_id_file: %q}}", approleID, bed.secretIDFile())
}

// loginFaults revoke the token that the service got by a login.
func loginFaults() []fault {
	return []fault{
		{
			name: "AppRole: token revoked", approle: &approle{ttl: "1h"}, brief: true, harmless: true,
			breakIt: func(ctx context.Context, bed *testbed) error { return bed.revokeLogins(ctx) },
			mend:    func(context.Context, *testbed) error { return nil },
		},
		{
			name: "AppRole: role deleted, made anew later", approle: &approle{ttl: "1h"},
			breakIt: func(ctx context.Context, bed *testbed) error {
				// Tokens outlive their role.
				if err := bed.vault.Do(ctx, "DELETE", approleRole, nil, nil); err != nil {
					return err
				}
				return bed.revokeLogins(ctx)
			},
			mend: func(ctx context.Context, bed *testbed) error { return bed.makeRole(ctx) },
		},
		{
			name: "AppRole: killed, the token expires meanwhile", approle: &approle{ttl: "5s"}, durable: true,
			breakIt: func(ctx context.Context, bed *testbed) error { return bed.kill(ctx) },
			mend:    func(ctx context.Context, bed *testbed) error { return bed.revive(ctx) },
		},
	}
}
