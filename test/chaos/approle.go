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
func (w *world) makeRole(ctx context.Context) error {
	role, err := w.vault.CreateAppRole(ctx, approleName, map[string]any{
		"token_policies": []string{"vault-authz-reader"}, "token_ttl": w.approle.ttl, "token_no_default_policy": false,
	})
	if err != nil {
		return err
	}
	if err := w.vault.Do(ctx, "POST", approleRole+"/role-id", map[string]any{"role_id": approleID}, nil); err != nil {
		return err
	}
	return parts.ReplaceFile(w.secretIDFile(), []byte(role.SecretID+"\n"))
}

// revokeLogins revokes every token that came from a login.
func (w *world) revokeLogins(ctx context.Context) error {
	return w.vault.Do(ctx, "PUT", "sys/leases/revoke-prefix/auth/approle/login", nil, nil)
}

func (w *world) secretIDFile() string { return filepath.Join(w.dir, "secret-id") }

// credentials is how the service gets its Vault token, in its configuration.
func (w *world) credentials() string {
	if w.approle == nil {
		return fmt.Sprintf("token: {file: %q}", w.tokenFile)
	}
	return fmt.Sprintf("login: {approle: {role_id: %s, secret_id_file: %q}}", approleID, w.secretIDFile())
}

// loginFaults take away the token that the service got by logging in.
func loginFaults() []fault {
	return []fault{
		{
			name: "AppRole: token revoked", approle: &approle{ttl: "1h"}, brief: true, harmless: true,
			breakIt: func(ctx context.Context, w *world) error { return w.revokeLogins(ctx) },
			mend:    func(context.Context, *world) error { return nil },
		},
		{
			name: "AppRole: role deleted, made anew later", approle: &approle{ttl: "1h"},
			breakIt: func(ctx context.Context, w *world) error {
				// Its tokens outlive a role.
				if err := w.vault.Do(ctx, "DELETE", approleRole, nil, nil); err != nil {
					return err
				}
				return w.revokeLogins(ctx)
			},
			mend: func(ctx context.Context, w *world) error { return w.makeRole(ctx) },
		},
		{
			name: "AppRole: killed, the token expires meanwhile", approle: &approle{ttl: "5s"}, durable: true,
			breakIt: func(ctx context.Context, w *world) error { return w.kill(ctx) },
			mend:    func(ctx context.Context, w *world) error { return w.revive(ctx) },
		},
	}
}
