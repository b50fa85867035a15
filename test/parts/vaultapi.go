package parts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The versions of the KV engine.
const (
	KVv1 = "v1"
	KVv2 = "v2"
)

// A VaultAPI makes the calls of an operator to Vault's HTTP API. It does not use the client
// library, which is part of what the tests test.
type VaultAPI struct {
	Address, RootToken string
	http               *http.Client
}

// NewVaultAPI returns the API at an address (http://host:port) with a token.
func NewVaultAPI(address, rootToken string) VaultAPI {
	return VaultAPI{Address: address, RootToken: rootToken, http: &http.Client{
		Timeout: 10 * time.Second,
		// The answer must come from this server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Do makes a call. path is the path after /v1/. body and into may be nil. An answer without a
// body leaves into as it is.
func (v *VaultAPI) Do(ctx context.Context, method, path string, body, into any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, v.Address+"/v1/"+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return v.send(req, into)
}

// Wrapped makes a POST call whose answer is wrapped for a minute.
func (v *VaultAPI) Wrapped(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, "POST", v.Address+"/v1/"+path, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("X-Vault-Wrap-TTL", "60s")
	return v.send(req, into)
}

func (v *VaultAPI) send(req *http.Request, into any) error {
	req.Header.Set("X-Vault-Token", v.RootToken)
	req.Header.Set("X-Vault-Request", "true")
	answer, err := fetch(v.http, req)
	if err != nil || into == nil || len(answer) == 0 {
		return err
	}
	return json.Unmarshal(answer, into)
}

// Mount mounts a KV engine and waits until it accepts writes: version 2 needs a moment
// after the call.
func (v *VaultAPI) Mount(ctx context.Context, mount, kv string) error {
	err := v.Do(ctx, "POST", "sys/mounts/"+mount, map[string]any{
		"type": "kv", "options": map[string]string{"version": kv[1:]},
	}, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	return Await(ctx, nil, func(ctx context.Context) error {
		return v.Put(ctx, mount, kv, "mount-check", map[string]any{"ready": true})
	})
}

// Unmount deletes a mount with all its records.
func (v *VaultAPI) Unmount(ctx context.Context, mount string) error {
	return v.Do(ctx, "DELETE", "sys/mounts/"+mount, nil, nil)
}

// Record is the document of a credential, as Kong writes it.
func Record(access, secret, consumer string) map[string]any {
	return map[string]any{"access_token": access, "secret_token": secret, "consumer": map[string]any{"id": consumer}}
}

// Put writes a record as `vault write` (version 1) or `vault kv put` does.
func (v *VaultAPI) Put(ctx context.Context, mount, kv, key string, record map[string]any) error {
	if kv == KVv2 {
		return v.Do(ctx, "POST", mount+"/data/"+key, map[string]any{"data": record}, nil)
	}
	return v.Do(ctx, "POST", mount+"/"+key, record, nil)
}

// Delete deletes a record. In version 2 it deletes the newest version and keeps the
// metadata.
func (v *VaultAPI) Delete(ctx context.Context, mount, kv, key string) error {
	if kv == KVv2 {
		return v.Do(ctx, "DELETE", mount+"/data/"+key, nil, nil)
	}
	return v.Do(ctx, "DELETE", mount+"/"+key, nil, nil)
}

// ReaderToken creates a token that can only read and list the records of these mounts.
func (v *VaultAPI) ReaderToken(ctx context.Context, mounts ...string) (string, error) {
	return v.token(ctx, "vault-authz-reader", []string{"read", "list"}, mounts)
}

// ManagerToken creates a token for a vault-authz with an admin API. It can also write and
// delete in these mounts.
func (v *VaultAPI) ManagerToken(ctx context.Context, mounts ...string) (string, error) {
	return v.token(ctx, "vault-authz-manager", []string{"create", "read", "update", "delete", "list"}, mounts)
}

func (v *VaultAPI) token(ctx context.Context, policy string, capabilities, mounts []string) (string, error) {
	var rules bytes.Buffer
	for _, m := range mounts {
		fmt.Fprintf(&rules, "path %q { capabilities = [\"%s\"] }\n", m+"/*", strings.Join(capabilities, `", "`))
	}
	err := v.Do(ctx, "PUT", "sys/policies/acl/"+policy, map[string]any{"policy": rules.String()}, nil)
	if err != nil {
		return "", err
	}
	var answer struct {
		Auth struct {
			Token string `json:"client_token"`
		} `json:"auth"`
	}
	err = v.Do(ctx, "POST", "auth/token/create", map[string]any{"policies": []string{policy}, "ttl": "1h"}, &answer)
	return answer.Auth.Token, err
}

// CreateAppRole enables the AppRole login, if necessary, and creates a role with
// a secret id.
func (v *VaultAPI) CreateAppRole(ctx context.Context, name string, settings map[string]any) (AppRole, error) {
	// That it is enabled already is not an error.
	enabled := v.Do(ctx, "POST", "sys/auth/approle", map[string]any{"type": "approle"}, nil)
	if err := v.Do(ctx, "POST", "auth/approle/role/"+name, settings, nil); err != nil {
		return AppRole{}, errors.Join(err, enabled)
	}
	return v.AppRole(ctx, name)
}

// AppRole returns the role id of a role, and a new secret id.
func (v *VaultAPI) AppRole(ctx context.Context, name string) (AppRole, error) {
	path := "auth/approle/role/" + name
	var role, secret struct {
		Data struct {
			RoleID   string `json:"role_id"`
			SecretID string `json:"secret_id"`
		} `json:"data"`
	}
	if err := v.Do(ctx, "GET", path+"/role-id", nil, &role); err != nil {
		return AppRole{}, err
	}
	if err := v.Do(ctx, "POST", path+"/secret-id", nil, &secret); err != nil {
		return AppRole{}, err
	}
	return AppRole{role.Data.RoleID, secret.Data.SecretID}, nil
}

// RunScript runs a script of deploy/vault as an operator does, with the command line of
// OpenBao, bao, in place of Vault's. environ is added to the environment of this process,
// and dir is an existing folder for files.
func (v *VaultAPI) RunScript(ctx context.Context, script, bao, dir string, environ ...string) error {
	if err := os.Symlink(bao, filepath.Join(dir, "vault")); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", script)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir, "BAO_ADDR="+v.Address, "BAO_TOKEN="+v.RootToken)
	cmd.Env = append(cmd.Env, environ...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

// Revoke revokes a token.
func (v *VaultAPI) Revoke(ctx context.Context, token string) error {
	return v.Do(ctx, "POST", "auth/token/revoke", map[string]any{"token": token}, nil)
}
