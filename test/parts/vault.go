package parts

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// VaultConfig says how a Vault is set up.
type VaultConfig struct {
	// Binary is what test/vaultserver builds, and Dir an existing folder for
	// its files.
	Binary, Dir string
	// Durable keeps the storage in Dir, so that another Vault with the same
	// Dir carries on from there. Else everything is in memory.
	Durable bool
	// Listen is where to listen, a free loopback port if empty.
	Listen string
}

// A Vault is a running Vault or OpenBao, unsealed.
type Vault struct {
	*Process
	VaultAPI
	unsealKey string
}

// StartVault starts a Vault and waits until it answers.
func StartVault(ctx context.Context, c VaultConfig) (*Vault, error) {
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	init := filepath.Join(c.Dir, "vault.init.json")
	args := []string{"-listen", c.Listen, "-init-file", init}
	if c.Durable {
		args = append(args, "-storage", filepath.Join(c.Dir, "vault.storage"))
	}
	earlier := modified(init)
	p, err := Start(Command{Name: "vault", Path: c.Binary, Args: args, Dir: c.Dir})
	if err != nil {
		return nil, err
	}
	v := &Vault{Process: p}
	err = v.await(ctx, func() error {
		// The file of the Vault that ran here before says where that one was.
		if modified(init).Equal(earlier) {
			return fmt.Errorf("%q is not written yet", init)
		}
		raw, err := os.ReadFile(init)
		if err != nil {
			return err
		}
		var k struct {
			RootToken string `json:"root_token"`
			UnsealKey string `json:"unseal_key"`
			Address   string `json:"address"`
		}
		if err := json.Unmarshal(raw, &k); err != nil {
			return fmt.Errorf("reading %q: %w", init, err)
		}
		v.VaultAPI, v.unsealKey = NewVaultAPI(k.Address, k.RootToken), k.UnsealKey
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// StartOpenBao starts an OpenBao in its development mode, which keeps
// everything in memory, and waits until it answers.
func StartOpenBao(ctx context.Context, binary, dir, rootToken string) (*Vault, error) {
	address, err := Address(ctx, 0)
	if err != nil {
		return nil, err
	}
	p, err := Start(Command{
		Name: "bao", Path: binary, Dir: dir,
		Args: []string{
			"server", "-dev", "-dev-no-store-token", "-log-level=warn",
			"-dev-root-token-id=" + rootToken, "-dev-listen-address=" + address,
		},
		Env: append(os.Environ(), "HOME="+dir),
	})
	if err != nil {
		return nil, err
	}
	v := &Vault{Process: p, VaultAPI: NewVaultAPI("http://"+address, rootToken)}
	if err := v.await(ctx, func() error { return nil }); err != nil {
		return nil, err
	}
	return v, nil
}

// await waits until the server is located and active.
func (v *Vault) await(ctx context.Context, locate func() error) error {
	ctx, cancel := context.WithTimeout(ctx, StartLimit)
	defer cancel()
	err := Await(ctx, v.Process, func(ctx context.Context) error {
		if err := locate(); err != nil {
			return err
		}
		return v.Do(ctx, "GET", "sys/health", nil, nil)
	})
	if err != nil {
		v.Kill()
		return v.failed(err)
	}
	return nil
}

// Seal makes the Vault refuse every read until [Vault.Unseal].
func (v *Vault) Seal(ctx context.Context) error {
	return v.Do(ctx, "PUT", "sys/seal", nil, nil)
}

// Unseal ends what Seal began.
func (v *Vault) Unseal(ctx context.Context) error {
	return v.Do(ctx, "PUT", "sys/unseal", map[string]any{"key": v.unsealKey}, nil)
}

func modified(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
