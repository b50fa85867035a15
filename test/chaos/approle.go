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

// An approle is how the service logs in where it has to keep its Vault token
// alive itself.
type approle struct {
	// ttl is that of its Vault token, in Vault's way of writing it.
	ttl string
}

// makeRole makes a role for the service, with a new secret id in its file.
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

// credentials is how the service gets its Vault token, in its configuration.
func (bed *testbed) credentials() string {
	if bed.approle == nil {
		return fmt.Sprintf("token: {file: %q}", bed.tokenFile)
	}
	return fmt.Sprintf("login: {approle: {role_id: %s, secret_id_file: %q}}", approleID, bed.secretIDFile())
}

// loginFaults take away the token that the service got by logging in.
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
				// Its tokens outlive a role.
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
