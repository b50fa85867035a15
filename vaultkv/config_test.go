package vaultkv_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/vaultkv"
)

func goodConfig() vaultkv.Config {
	c := vaultkv.DefaultConfig()
	c.Name, c.Address, c.Mount, c.Token = "main", "https://vault.example.com:8200", "kong-auth", "hvs.token"
	return c
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		edit func(*vaultkv.Config)
		want string // "" for valid
	}{
		{"the least", func(*vaultkv.Config) {}, ""},
		{"a slash behind the address", func(c *vaultkv.Config) { c.Address += "/" }, ""},
		{"mount of two segments", func(c *vaultkv.Config) { c.Mount = "team/kong-auth" }, ""},
		{"namespace with a slash behind", func(c *vaultkv.Config) { c.Namespace = "team/prod/" }, ""},
		{"token with a newline behind", func(c *vaultkv.Config) { c.Token += "\n" }, ""},
		{"no name", func(c *vaultkv.Config) { c.Name = "" }, "name: must be set"},
		{"no address", func(c *vaultkv.Config) { c.Address = "" }, "address: must be set"},
		{"address without a scheme", func(c *vaultkv.Config) { c.Address = "vault:8200" }, "address: must be http"},
		{"address of another scheme", func(c *vaultkv.Config) { c.Address = "ftp://vault" }, "address: must be http"},
		{"a socket", func(c *vaultkv.Config) { c.Address = "unix:/run/vault.sock" }, ""},
		{"a socket as Vault's tools write it", func(c *vaultkv.Config) { c.Address = "unix:///run/vault.sock" }, ""},
		{"a socket of a relative path", func(c *vaultkv.Config) { c.Address = "unix:vault.sock" }, "absolute path"},
		{"a socket behind a proxy", func(c *vaultkv.Config) { c.Address, c.Proxy = "unix:/run/vault.sock", "http://proxy:3128" }, "remove proxy"},
		{"several addresses", func(c *vaultkv.Config) { c.Address = "https://a:8200, https://b:8200" }, ""},
		{"an address that is there twice", func(c *vaultkv.Config) { c.Address = "https://a:443,https://A" }, "twice"},
		{"an empty address among several", func(c *vaultkv.Config) { c.Address = "https://a:8200," }, "address: must be http"},
		{"several addresses, one without TLS, with a CA", func(c *vaultkv.Config) { c.Address, c.CAFile = "https://a:8200,http://b:8200", "ca.pem" }, "no effect"},
		{"a client certificate without its key", func(c *vaultkv.Config) { c.ClientCertFile = "cert.pem" }, "client_cert_file: goes together"},
		{"a client certificate without TLS", func(c *vaultkv.Config) {
			c.Address, c.ClientCertFile, c.ClientKeyFile = "http://127.0.0.1:8200", "cert.pem", "key.pem"
		}, "no effect"},
		{"a proxy", func(c *vaultkv.Config) { c.Proxy = "http://proxy:3128" }, ""},
		{"a proxy over TLS", func(c *vaultkv.Config) { c.Proxy = "https://proxy:3128" }, ""},
		{"a proxy that would have to be the server", func(c *vaultkv.Config) { c.Proxy, c.TLSServerName = "https://proxy:3128", "vault" }, "proxy: an https:// proxy"},
		{"a proxy that would see our certificate", func(c *vaultkv.Config) {
			c.Proxy, c.ClientCertFile, c.ClientKeyFile = "https://proxy:3128", "c", "k"
		}, "proxy: an https:// proxy"},
		{"a proxy before TLS", func(c *vaultkv.Config) { c.Proxy, c.TLSServerName = "http://proxy:3128", "vault" }, ""},
		{"a proxy of another kind", func(c *vaultkv.Config) { c.Proxy = "socks5://proxy:1080" }, "proxy: must be http"},
		{"a proxy with a password", func(c *vaultkv.Config) { c.Proxy = "http://u:hvs.secret@proxy:3128" }, "proxy: must not contain"},
		{"address with a user", func(c *vaultkv.Config) { c.Address = "https://u:p@vault" }, "address: must not contain a user"},
		{"address with a path", func(c *vaultkv.Config) { c.Address += "/v1" }, "address: must end after host and port"},
		{"address with a query", func(c *vaultkv.Config) { c.Address += "?a=b" }, "address: must end after host and port"},
		{"http with a CA", func(c *vaultkv.Config) { c.Address, c.CAFile = "http://127.0.0.1:8200", "ca.pem" }, "no effect"},
		{"no mount", func(c *vaultkv.Config) { c.Mount = "" }, "mount:"},
		{"mount with a slash in front", func(c *vaultkv.Config) { c.Mount = "/kong-auth" }, "mount:"},
		{"mount with a slash behind", func(c *vaultkv.Config) { c.Mount = "kong-auth/" }, "mount:"},
		{"mount with an empty segment", func(c *vaultkv.Config) { c.Mount = "a//b" }, "mount:"},
		{"mount that climbs", func(c *vaultkv.Config) { c.Mount = "a/../sys" }, "mount:"},
		{"mount with a dot segment", func(c *vaultkv.Config) { c.Mount = "a/./b" }, "mount:"},
		{"mount with an escape", func(c *vaultkv.Config) { c.Mount = "a%2fb" }, "mount:"},
		{"mount with a query", func(c *vaultkv.Config) { c.Mount = "a?b" }, "mount:"},
		{"mount that is Vault's own", func(c *vaultkv.Config) { c.Mount = "sys" }, "mount: \"sys\" is refused"},
		{"a folder in the mount", func(c *vaultkv.Config) { c.Prefix = "kong-auth" }, ""},
		{"a folder of two segments", func(c *vaultkv.Config) { c.Prefix = "team-a/kong-auth" }, ""},
		{"prefix with a slash in front", func(c *vaultkv.Config) { c.Prefix = "/kong-auth" }, "prefix:"},
		{"prefix with a slash behind", func(c *vaultkv.Config) { c.Prefix = "kong-auth/" }, "prefix:"},
		{"prefix of a slash", func(c *vaultkv.Config) { c.Prefix = "/" }, "prefix:"},
		{"prefix with an empty segment", func(c *vaultkv.Config) { c.Prefix = "a//b" }, "prefix:"},
		{"prefix that climbs", func(c *vaultkv.Config) { c.Prefix = "a/../../sys" }, "prefix:"},
		{"prefix that is the folder above", func(c *vaultkv.Config) { c.Prefix = ".." }, "prefix:"},
		{"prefix with a dot segment", func(c *vaultkv.Config) { c.Prefix = "a/./b" }, "prefix:"},
		{"prefix with an escape", func(c *vaultkv.Config) { c.Prefix = "a%2f..%2fb" }, "prefix:"},
		{"prefix with a backslash", func(c *vaultkv.Config) { c.Prefix = `a\..\b` }, "prefix:"},
		{"prefix with a query", func(c *vaultkv.Config) { c.Prefix = "a?list=true" }, "prefix:"},
		{"prefix with a blank", func(c *vaultkv.Config) { c.Prefix = " a" }, "prefix:"},
		{"prefix in a namespace's own path", func(c *vaultkv.Config) { c.Mount, c.Prefix = "ns1", "sys/policies/acl" }, "prefix: \"sys/policies/acl\" is refused"},
		{"prefix in a namespace's own path, in capitals", func(c *vaultkv.Config) { c.Mount, c.Prefix = "ns1", "a/Auth/token" }, "prefix:"},
		{"namespace that is Vault's own path", func(c *vaultkv.Config) { c.Namespace = "sys/policies" }, "namespace:"},
		{"namespace that climbs", func(c *vaultkv.Config) { c.Namespace = "../x" }, "namespace:"},
		{"KV guessed", func(c *vaultkv.Config) { c.KV = "" }, "kv:"},
		{"KV as a number", func(c *vaultkv.Config) { c.KV = "2" }, "kv:"},
		{"no token", func(c *vaultkv.Config) { c.Token = "" }, "token: exactly one"},
		{"an agent that adds the token", func(c *vaultkv.Config) { c.Token, c.Agent = "", true }, ""},
		{"an agent and a token", func(c *vaultkv.Config) { c.Agent = true }, "token: exactly one"},
		{"two tokens", func(c *vaultkv.Config) { c.TokenFile = "f" }, "token: exactly one"},
		{"token with white space inside", func(c *vaultkv.Config) { c.Token = "hvs. token" }, "token: it is no Vault token"},
		{"no timeout", func(c *vaultkv.Config) { c.Timeout = 0 }, "timeout:"},
		{"many retries", func(c *vaultkv.Config) { c.MaxRetries = 2 }, "max_retries:"},
		{"no connections", func(c *vaultkv.Config) { c.MaxConnections = 0 }, "max_connections:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := goodConfig()
			tt.edit(&c)
			err := c.Validate()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("Validate() = %v, want no error", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Validate() = %v, want an error with %q", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "hvs."):
				t.Errorf("Validate() = %v, which contains the token", err)
			}
		})
	}
}

func TestConfigReportsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	var c vaultkv.Config
	err := c.Validate()
	if err == nil {
		t.Fatal("Validate() of the zero Config = nil, want errors")
	}
	for _, field := range []string{"name:", "address:", "mount:", "kv:", "token:", "timeout:"} {
		if !strings.Contains(err.Error(), field) {
			t.Errorf("Validate() = %v, want it to name %s", err, field)
		}
	}
}

func TestInsecureSettingsNamesPlainHTTPBeyondLoopback(t *testing.T) {
	t.Parallel()
	tests := []struct {
		address string
		want    int
	}{
		{"https://vault.example.com", 0},
		{"http://127.0.0.1:8200", 0},
		{"http://[::1]:8200", 0},
		{"http://localhost:8200", 0},
		{"http://vault:8200", 1},
		{"http://127.0.0.1.example.com", 1},
		{"http://10.0.0.1:8200", 1},
		{"unix:/run/vault.sock", 0},
		{"http://a:8200,https://b:8200,http://c:8200", 2},
	}
	for _, tt := range tests {
		c := goodConfig()
		c.Address = tt.address
		if got := c.InsecureSettings(); len(got) != tt.want {
			t.Errorf("InsecureSettings() with %s = %q, want %d of them", tt.address, got, tt.want)
		}
	}
}

func TestNewNeedsItsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		edit func(*vaultkv.Config)
		want string
	}{
		{"missing token file", func(c *vaultkv.Config) { c.Token, c.TokenFile = "", filepath.Join(dir, "none") }, "no such file"},
		{"empty token file", func(c *vaultkv.Config) { c.Token, c.TokenFile = "", empty }, "there is no token in it"},
		{"missing CA file", func(c *vaultkv.Config) { c.CAFile = filepath.Join(dir, "none") }, "ca_file:"},
		{"CA file without a certificate", func(c *vaultkv.Config) { c.CAFile = empty }, "no PEM certificate"},
		{"bad configuration", func(c *vaultkv.Config) { c.Timeout = -time.Second }, "timeout:"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := goodConfig()
			tt.edit(&c)
			if _, err := vaultkv.New(c, zap.NewNop()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New() = %v, want an error with %q", err, tt.want)
			}
		})
	}
}
