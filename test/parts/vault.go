package parts

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// VaultConfig configures a Vault or OpenBao.
type VaultConfig struct {
	// Binary is the server: what test/vaultserver builds for [StartVault], bao
	// for [StartOpenBao]. Dir is an existing folder for its files.
	Binary, Dir string
	// Durable keeps the storage in Dir, so that another Vault with the same Dir
	// continues with it. Otherwise the storage is in memory. OpenBao ignores it.
	Durable bool
	// Listen is its address, a free loopback port if empty.
	Listen string
	// CertFile and KeyFile make Vault speak TLS, and Authorities issued its certificate.
	// OpenBao ignores them.
	CertFile, KeyFile string
	Authorities       *x509.CertPool
}

// A Vault is a running Vault or OpenBao, unsealed.
type Vault struct {
	*Process
	VaultAPI
	unsealKey string
}

// StartVault starts a HashiCorp Vault and waits until it answers.
func StartVault(ctx context.Context, c VaultConfig) (*Vault, error) {
	init := filepath.Join(c.Dir, "vault.init.json")
	args := []string{"-listen", cmp.Or(c.Listen, "127.0.0.1:0"), "-init-file", init}
	if c.Durable {
		args = append(args, "-storage", filepath.Join(c.Dir, "vault.storage"))
	}
	if c.CertFile != "" {
		args = append(args, "-tls-cert", c.CertFile, "-tls-key", c.KeyFile)
	}
	earlier := modified(init)
	p, err := Start(Command{Name: "vault", Path: c.Binary, Args: args, Dir: c.Dir})
	if err != nil {
		return nil, err
	}
	v := &Vault{Process: p}
	err = v.await(ctx, func() error {
		// Until then the file is that of an earlier Vault in the same folder.
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
		if c.Authorities != nil {
			v.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Authorities}}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// StartOpenBao starts an OpenBao in its development mode and waits until it
// answers. In this mode the storage is in memory, and the log contains the root
// token.
func StartOpenBao(ctx context.Context, c VaultConfig) (*Vault, error) {
	address, rootToken := c.Listen, "root-"+rand.Text()
	if address == "" {
		var err error
		if address, err = Address(ctx, 0); err != nil {
			return nil, err
		}
	}
	p, err := Start(Command{
		Name: "bao", Path: c.Binary, Dir: c.Dir,
		Args: []string{
			"server", "-dev", "-dev-no-store-token", "-log-level=warn",
			"-dev-root-token-id=" + rootToken, "-dev-listen-address=" + address,
		},
		Env: append(os.Environ(), "HOME="+c.Dir),
	})
	if err != nil {
		return nil, err
	}
	v := &Vault{Process: p, VaultAPI: NewVaultAPI("http://"+address, rootToken)}
	key := regexp.MustCompile(`Unseal Key: (\S+)`)
	err = v.await(ctx, func() error {
		found := key.FindStringSubmatch(p.Log())
		if found == nil {
			return errors.New("it has not printed its unseal key")
		}
		v.unsealKey = found[1]
		return nil
	})
	if err != nil {
		return nil, err
	}
	return v, nil
}

// await waits until locate succeeds and the server is active.
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

// Seal makes the Vault refuse all requests until [Vault.Unseal].
func (v *Vault) Seal(ctx context.Context) error {
	return v.Do(ctx, "PUT", "sys/seal", nil, nil)
}

// Unseal reverses [Vault.Seal].
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
