package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/admin/authn"
	"github.com/vault-authz/vault-authz/internal/app"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// withTLS is a configuration with TLS on all listeners.
func withTLS(f partstest.PEMFiles) config.Config {
	c := app.DevConfig()
	c.GRPC.TLS = config.TLS{Listener: f.Listener(), ClientNames: []string{"spiffe://example.org/*"}}
	c.Probes.TLS = config.TLS{Listener: f.Listener(), ClientNames: []string{"prometheus.example.com"}}
	c.Admin.Listener = f.Listener()
	c.Admin.ClientNames = []authn.ClientName{{Name: "ops.example.com", Role: authn.RoleWrite}}
	return c
}

func vaultAuthz(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	var both bytes.Buffer
	code = Run(t.Context(), Process{Args: args, Stdout: &both, Stderr: &both})
	return code, both.String()
}

func TestEachListenerAdmitsOnlyItsClientNames(t *testing.T) {
	t.Parallel()
	ours, err := parts.NewAuthority("ours")
	if err != nil {
		t.Fatal(err)
	}
	f := partstest.NewPEMFiles(t)
	f.Put("ca.pem", ours.PEM)
	f.Issue(ours, "service", "localhost", "127.0.0.1", "spiffe://example.org/vault-authz")
	f.Issue(ours, "gateway", "spiffe://example.org/gateway")
	f.Issue(ours, "prometheus", "prometheus.example.com")
	f.Issue(ours, "ops", "ops.example.com")
	c := withTLS(f)
	at := startDev(t, &c)
	f.Put("config.yaml", []byte("listen: {grpc: \""+at.GRPC+"\"}\ngrpc: {cert_file: "+f.Path("service.pem")+", key_file: "+f.Path("service.key")+"}\n"))
	client := func(name string) []string {
		return []string{"--cert-file", f.Path(name + ".pem"), "--key-file", f.Path(name + ".key")}
	}
	ca := []string{"--ca-file", f.Path("ca.pem")}
	check := []string{"check", "--address", at.GRPC, "-H", "access-token: demo", "-H", "secret-token: demo-secret", "http://example.com/"}
	err = parts.Await(t.Context(), nil, func(context.Context) error {
		if code, out := vaultAuthz(t, append([]string{"healthcheck", "-c", f.Path("config.yaml")}, client("gateway")...)...); code != exitOK {
			return errors.New(out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
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
		{"an operator at the listener for gateways", [][]string{check, ca, client("ops")}, exitUsage, "grpc.client_names"},
		{"a gateway without a certificate", [][]string{check, ca}, exitUsage, "--cert-file"},
		{"plain text", [][]string{check}, exitUsage, "--ca-file"},
		{"a certificate without its key", [][]string{check, {"--cert-file", f.Path("ops.pem")}}, exitUsage, "go together"},
		{"a probe that knows the configuration", [][]string{{"healthcheck", "-c", f.Path("config.yaml")}, client("gateway")}, exitOK, "ready"},
		{"a probe that has no certificate", [][]string{{"healthcheck", "-c", f.Path("config.yaml")}}, exitFailed, "--cert-file"},
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
			c := f.Client(name)
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
	prometheus := f.Client("prometheus")
	defer prometheus.CloseIdleConnections()
	// A client may see its handshake fail before the listener has counted it.
	for _, want := range []string{
		`vault_authz_tls_expires_seconds{file="certificate",use="grpc",vault=""} 3`,
		`vault_authz_tls_expires_seconds{file="authorities",use="probes",vault=""} 3`,
		`vault_authz_tls_files_refused{use="admin",vault=""} 0`,
		`vault_authz_tls_refused_handshakes_total{listener="probes"} 4`,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), parts.StartLimit)
		err := parts.Await(ctx, nil, func(context.Context) error {
			resp, err := prometheus.Get("https://" + at.Probes + "/metrics")
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			metrics, err := io.ReadAll(resp.Body)
			if err == nil && !bytes.Contains(metrics, []byte(want)) {
				err = fmt.Errorf("the metrics have no %s:\n%s", want, metrics)
			}
			return err
		})
		cancel()
		if err != nil {
			t.Error(err)
		}
	}
}

func TestACommandWithoutARequiredCertificateSaysHowToGiveOne(t *testing.T) {
	t.Parallel()
	ours, err := parts.NewAuthority("ours")
	if err != nil {
		t.Fatal(err)
	}
	f := partstest.NewPEMFiles(t)
	f.Put("ca.pem", ours.PEM)
	f.Issue(ours, "service", "127.0.0.1")
	f.Issue(ours, "audit", "audit.example.com")
	c := app.DevConfig()
	c.Admin.Listener = f.Listener()
	c.Admin.ClientNames = []authn.ClientName{{Name: "audit.example.com", Role: authn.RoleRead}}
	at := startDev(t, &c)
	for _, test := range []struct {
		name string
		args []string
		code int
		errs string
	}{
		{"none", []string{"consumer", "list"}, exitFailed, "give one with --cert-file and --key-file"},
		{"one that reads", []string{"consumer", "list", "--cert-file", f.Path("audit.pem"), "--key-file", f.Path("audit.key")}, exitOK, ""},
		{"one that reads, for a change", []string{"consumer", "create", "alice", "--cert-file", f.Path("audit.pem"), "--key-file", f.Path("audit.key")}, exitFailed, "answers 403: audit.example.com, you do not have permissions to create this resource; your role is read"},
	} {
		code, _, errs := operate(t, nil, append(test.args, "--admin", "https://"+at.Admin, "--ca-file", f.Path("ca.pem"))...)
		if code != test.code || !strings.Contains(errs, test.errs) {
			t.Errorf("%s: exit %d, stderr %q, want exit %d and %q", test.name, code, errs, test.code, test.errs)
		}
	}
}
