package app

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// HTTP keeps a connection for as long as it is used.
func TestAnOpenConnectionOfTheAdminAPIDoesNotOutliveItsAuthority(t *testing.T) {
	t.Parallel()
	before, err := parts.NewAuthority("before")
	if err != nil {
		t.Fatal(err)
	}
	after, err := parts.NewAuthority("after")
	if err != nil {
		t.Fatal(err)
	}
	f := partstest.NewPEMFiles(t)
	f.Put("ca.pem", before.PEM)
	f.Issue(before, "service", "127.0.0.1")
	f.Issue(before, "ops", "ops.example.com")
	c := DevConfig()
	c.Admin.Address, c.Admin.Listener = "127.0.0.1:0", f.Listener()
	c.Admin.ClientNames = []authn.ClientName{{Name: "ops.example.com", Role: authn.RoleWrite}}
	s := serveAdminOf(t, &c)
	client := f.Client("ops")
	defer client.CloseIdleConnections()
	get := func() int {
		resp, err := client.Get("https://" + s.address + "/consumers")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := get(); got != http.StatusOK {
		t.Fatalf("at first: got %d", got)
	}
	f.Put("ca.pem", parts.Bundle(before, after))
	s.tls.admin.Reload()
	if got := get(); got != http.StatusOK {
		t.Errorf("while both authorities are believed: got %d", got)
	}
	f.Put("ca.pem", after.PEM)
	s.tls.admin.Reload()
	if got := get(); got != http.StatusUnauthorized {
		t.Errorf("on the connection that is open: got %d, want 401", got)
	}
}

// Nothing is listened on before the files are good.
func TestAServiceWhoseTLSFilesCannotBeUsedDoesNotStart(t *testing.T) {
	t.Parallel()
	ours, err := parts.NewAuthority("ours")
	if err != nil {
		t.Fatal(err)
	}
	f := partstest.NewPEMFiles(t)
	f.Issue(ours, "service", "127.0.0.1")
	f.Put("ca.pem", []byte("half a file"))
	for _, test := range []struct {
		name string
		edit func(*config.Config)
	}{
		{"grpc", func(c *config.Config) { c.GRPC.TLS = config.TLS{Listener: f.Listener(), ClientNames: []string{"*"}} }},
		{"probes", func(c *config.Config) { c.Probes.TLS = config.TLS{Listener: f.Listener(), ClientNames: []string{"*"}} }},
		{"admin", func(c *config.Config) { c.Admin.Listener = f.Listener() }},
	} {
		c := DevConfig()
		c.Listen = config.Listen{GRPC: "127.0.0.1:0", Probes: "127.0.0.1:0"}
		c.Admin.Address = "127.0.0.1:0"
		test.edit(&c)
		ctx, stop := context.WithCancel(t.Context())
		err := Dev(ctx, &c, io.Discard, func(Addresses) {
			t.Errorf("%s: it listens", test.name)
			stop()
		})
		stop()
		if err == nil || !strings.Contains(err.Error(), test.name+".client_ca_file") {
			t.Errorf("%s: got %v, want an error about client_ca_file", test.name, err)
		}
	}
}
