package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/tlsfiles"
	"github.com/vault-authz/vault-authz/test/parts"
)

// pemFiles are certificates in a folder.
type pemFiles struct {
	t   *testing.T
	dir string
}

func (f pemFiles) path(name string) string { return filepath.Join(f.dir, name) }

func (f pemFiles) put(name string, content []byte) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), content, 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f pemFiles) issue(a *parts.Authority, name string, names ...string) {
	f.t.Helper()
	issued, err := a.Issue(nil, names...)
	if err != nil {
		f.t.Fatal(err)
	}
	f.put(name+".pem", issued.Certificate)
	f.put(name+".key", issued.Key)
}

func (f pemFiles) listener() tlsfiles.Listener {
	return tlsfiles.Listener{CertFile: f.path("service.pem"), KeyFile: f.path("service.key"), ClientCAFile: f.path("ca.pem")}
}

// serveTLS runs the service with TLS on all listeners, and returns where they are.
func serveTLS(t *testing.T, f pemFiles) addresses {
	t.Helper()
	c := demoConfig()
	c.Listen = config.Listen{GRPC: "127.0.0.1:0", Probes: "127.0.0.1:0"}
	c.GRPC.TLS = config.TLS{Listener: f.listener(), ClientNames: []string{"spiffe://example.org/*"}}
	c.Probes.TLS = config.TLS{Listener: f.listener(), ClientNames: []string{"prometheus.example.com"}}
	c.Admin.Address, c.Admin.Listener = "127.0.0.1:0", f.listener()
	c.Admin.ClientNames = []admin.ClientName{{Name: "ops.example.com", Role: admin.RoleWrite}}
	ctx, stop := context.WithCancel(t.Context())
	at, ended := make(chan addresses, 1), make(chan error, 1)
	go func() {
		ended <- serve(ctx, &c, &memory{mounts: map[string]*memkv.Engine{}}, io.Discard, func(a addresses) { at <- a })
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case a := <-at:
		return a
	case err := <-ended:
		t.Fatal(err)
		return addresses{}
	}
}

func vaultAuthz(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var both bytes.Buffer
	code = run(t.Context(), process{args: args, stdout: &both, stderr: &both})
	return code, both.String()
}

func TestEachListenerLetsInThoseWhomItsNamesMean(t *testing.T) {
	t.Parallel()
	ours, err := parts.NewAuthority("ours")
	if err != nil {
		t.Fatal(err)
	}
	f := pemFiles{t, t.TempDir()}
	f.put("ca.pem", ours.PEM)
	f.issue(ours, "service", "localhost", "127.0.0.1", "spiffe://example.org/vault-authz")
	f.issue(ours, "gateway", "spiffe://example.org/gateway")
	f.issue(ours, "prometheus", "prometheus.example.com")
	f.issue(ours, "ops", "ops.example.com")
	at := serveTLS(t, f)
	f.put("config.yaml", []byte("listen: {grpc: \""+at.GRPC+"\"}\ngrpc: {cert_file: "+f.path("service.pem")+", key_file: "+f.path("service.key")+"}\n"))
	client := func(name string) []string {
		return []string{"--cert-file", f.path(name + ".pem"), "--key-file", f.path(name + ".key")}
	}
	ca := []string{"--ca-file", f.path("ca.pem")}
	check := []string{"check", "--address", at.GRPC, "-H", "access-token: demo", "-H", "secret-token: demo-secret", "http://example.com/"}
	eventually(t, "it is ready", func() bool {
		code, _ := vaultAuthz(t, append([]string{"healthcheck", "-c", f.path("config.yaml")}, client("gateway")...)...)
		return code == exitOK
	})
	for _, test := range []struct {
		name string
		args [][]string
		code int
		want string
	}{
		{"a gateway", [][]string{check, ca, client("gateway")}, exitOK, "authenticated"},
		{"a gateway that expects a SPIFFE id", [][]string{check, ca, client("gateway"), {"--server-name", "spiffe://example.org/vault-authz"}}, exitOK, "authenticated"},
		{"a gateway that expects another id", [][]string{check, ca, client("gateway"), {"--server-name", "spiffe://example.org/x"}}, exitUsage, "not of"},
		{"a gateway that expects another name", [][]string{check, ca, client("gateway"), {"--server-name", "x.example.com"}}, exitUsage, "x.example.com"},
		{"a gateway that trusts others", [][]string{check, client("gateway")}, exitUsage, "unknown authority"},
		{"an operator at the door of gateways", [][]string{check, ca, client("ops")}, exitUsage, "grpc.client_names"},
		{"nobody", [][]string{check, ca}, exitUsage, "--cert-file"},
		{"plain text", [][]string{check}, exitUsage, "--ca-file"},
		{"a certificate without its key", [][]string{check, {"--cert-file", f.path("ops.pem")}}, exitUsage, "go together"},
		{"a probe that knows the configuration", [][]string{{"healthcheck", "-c", f.path("config.yaml")}, client("gateway")}, exitOK, "ready"},
		{"a probe that has no certificate", [][]string{{"healthcheck", "-c", f.path("config.yaml")}}, exitFailed, "--cert-file"},
	} {
		args := []string{}
		for _, a := range test.args {
			args = append(args, a...)
		}
		if args[0] == "check" {
			args = append(append([]string{"check"}, args[len(check):]...), args[1:len(check)]...)
		}
		if code, out := vaultAuthz(t, args...); code != test.code || !strings.Contains(out, test.want) {
			t.Errorf("%s: exit %d, want %d and %q:\n%s", test.name, code, test.code, test.want, out)
		}
	}
	for url, answers := range map[string]map[string]int{
		"https://" + at.Probes + "/livez":    {"prometheus": 200, "gateway": 0, "ops": 0, "": 0},
		"https://" + at.Admin + "/consumers": {"prometheus": 403, "gateway": 403, "ops": 200, "": 0},
		"http://" + at.Probes + "/livez":     {"": 400},
		"http://" + at.Admin + "/consumers":  {"": 400},
	} {
		for name, want := range answers {
			c := httpClient(t, f, name)
			resp, err := c.Get(url)
			got := 0
			if err == nil {
				got = resp.StatusCode
				_ = resp.Body.Close()
			}
			c.CloseIdleConnections()
			if got != want {
				t.Errorf("%s of %q: got %d, %v, want %d", url, name, got, err, want)
			}
		}
	}
	c := httpClient(t, f, "prometheus")
	defer c.CloseIdleConnections()
	resp, err := c.Get("https://" + at.Probes + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	metrics, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	for _, want := range []string{
		`vault_authz_tls_expires_seconds{file="certificate",use="grpc",vault=""} 3`,
		`vault_authz_tls_expires_seconds{file="authorities",use="probes",vault=""} 3`,
		`vault_authz_tls_files_refused{use="admin",vault=""} 0`,
		`vault_authz_tls_refused_handshakes_total{listener="probes"} 4`,
	} {
		if !bytes.Contains(metrics, []byte(want)) {
			t.Errorf("the metrics have no %s:\n%s", want, metrics)
		}
	}
}

// httpClient keeps its connections, and shows the certificate of a name.
func httpClient(t *testing.T, f pemFiles, name string) *http.Client {
	t.Helper()
	raw, err := os.ReadFile(f.path("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS13}
	c.RootCAs.AppendCertsFromPEM(raw)
	if name != "" {
		pair, err := tls.LoadX509KeyPair(f.path(name+".pem"), f.path(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}}
}

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
	f := pemFiles{t, t.TempDir()}
	f.put("ca.pem", before.PEM)
	f.issue(before, "service", "127.0.0.1")
	f.issue(before, "ops", "ops.example.com")
	c := demoConfig()
	c.Admin.Address, c.Admin.Listener = "127.0.0.1:0", f.listener()
	c.Admin.ClientNames = []admin.ClientName{{Name: "ops.example.com", Role: admin.RoleWrite}}
	s := serveAdminOf(t, &c)
	client := httpClient(t, f, "ops")
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
	f.put("ca.pem", parts.Bundle(before, after))
	s.doors.admin.Reload()
	if got := get(); got != http.StatusOK {
		t.Errorf("while both authorities are believed: got %d", got)
	}
	f.put("ca.pem", after.PEM)
	s.doors.admin.Reload()
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
	f := pemFiles{t, t.TempDir()}
	f.issue(ours, "service", "127.0.0.1")
	f.put("ca.pem", []byte("half a file"))
	for _, test := range []struct {
		name string
		edit func(*config.Config)
	}{
		{"grpc", func(c *config.Config) { c.GRPC.TLS = config.TLS{Listener: f.listener(), ClientNames: []string{"*"}} }},
		{"probes", func(c *config.Config) { c.Probes.TLS = config.TLS{Listener: f.listener(), ClientNames: []string{"*"}} }},
		{"admin", func(c *config.Config) { c.Admin.Listener = f.listener() }},
	} {
		c := demoConfig()
		c.Listen = config.Listen{GRPC: "127.0.0.1:0", Probes: "127.0.0.1:0"}
		c.Admin.Address = "127.0.0.1:0"
		test.edit(&c)
		ctx, stop := context.WithCancel(t.Context())
		err := serve(ctx, &c, &memory{mounts: map[string]*memkv.Engine{}}, io.Discard, func(addresses) {
			t.Errorf("%s: it listens", test.name)
			stop()
		})
		stop()
		if err == nil || !strings.Contains(err.Error(), test.name+".client_ca_file") {
			t.Errorf("%s: got %v, want an error about client_ca_file", test.name, err)
		}
	}
}
