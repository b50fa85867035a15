package config

import (
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

func TestTLSOfAListenerIsReadAndShown(t *testing.T) {
	t.Parallel()
	const text = minimal + `
grpc: {cert_file: c, key_file: k, client_ca_file: ca, client_names: ["spiffe://example.org/*", gateway.example.com], min_tls_version: 1.2}
probes: {cert_file: pc, key_file: pk}
`
	c, err := Parse([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(shown, nil)
	if err != nil {
		t.Fatalf("what is shown cannot be read: %v\n%s", err, shown)
	}
	for _, c := range []Config{c, again} {
		want := tlsfiles.Listener{CertFile: "c", KeyFile: "k", ClientCAFile: "ca", MinTLSVersion: tlsfiles.TLS12}
		if c.GRPC.Listener != want || len(c.GRPC.ClientNames) != 2 {
			t.Errorf("grpc: got %+v, want %+v", c.GRPC.TLS, want)
		}
		if want := (tlsfiles.Listener{CertFile: "pc", KeyFile: "pk", MinTLSVersion: tlsfiles.TLS13}); c.Probes.Listener != want {
			t.Errorf("probes: got %+v, want %+v", c.Probes.TLS, want)
		}
	}
}

func TestMistakesInTheTLSOfAListenerAreNamed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"grpc: {cert_file: c}", "grpc.cert_file: goes together with key_file"},
		{"grpc: {key_file: k}", "grpc.key_file: goes together with cert_file"},
		{"grpc: {client_ca_file: ca, client_names: [a.example]}", "grpc.client_ca_file: client certificates need TLS"},
		{"grpc: {cert_file: c, key_file: k, client_ca_file: ca}", "grpc.client_names: say which certificates"},
		{"grpc: {cert_file: c, key_file: k, client_names: [a.example]}", "grpc.client_names: these are names in client certificates"},
		{`grpc: {cert_file: c, key_file: k, client_ca_file: ca, client_names: [a.example, "*.example"]}`, "grpc.client_names[1]: "},
		{"grpc: {min_tls_version: 1.1}", `grpc.min_tls_version: "1.1" is neither`},
		{"probes: {cert_file: c}", "probes.cert_file: goes together with key_file"},
		{"probes: {client_ca_file: ca, client_names: [a.example]}", "probes.client_ca_file: client certificates need TLS"},
	} {
		if _, err := Parse([]byte(minimal+test.text+"\n"), nil); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.text, err, test.want)
		}
	}
}

func TestAnOpenDoorForTokenPairsIsWarnedOf(t *testing.T) {
	t.Parallel()
	mutual := TLS{Listener: tlsfiles.Listener{CertFile: "c", KeyFile: "k", ClientCAFile: "ca"}, ClientNames: []string{"a.example"}}
	encrypted := TLS{Listener: tlsfiles.Listener{CertFile: "c", KeyFile: "k"}}
	for _, test := range []struct {
		address string
		tls     TLS
		want    string // "" for no warning
	}{
		{"127.0.0.1:9191", TLS{}, ""},
		{"[::1]:9191", TLS{}, ""},
		{"localhost:9191", TLS{}, ""},
		{"unix:/run/authz.sock", TLS{}, ""},
		{":9191", TLS{}, "in the clear"},
		{"0.0.0.0:9191", TLS{}, "in the clear"},
		{"authz.example.com:9191", TLS{}, "in the clear"},
		{"0.0.0.0:9191", encrypted, "no client certificate"},
		{"0.0.0.0:9191", mutual, ""},
	} {
		c := Default()
		c.Listen.GRPC, c.GRPC.TLS = test.address, test.tls
		got := strings.Join(c.InsecureSettings(), "; ")
		if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s, %+v: got %q, want %q", test.address, test.tls, got, test.want)
		}
	}
}

func TestDebuggingFromElsewhereNeedsClientCertificates(t *testing.T) {
	t.Parallel()
	if _, err := Parse([]byte("debug: {enabled: true}\n"+minimal), nil); err != nil {
		t.Errorf("on this machine: %v", err)
	}
	_, err := Parse([]byte("debug: {enabled: true, remote: true}\n"+minimal), nil)
	if err == nil || !strings.Contains(err.Error(), "debug.remote: needs client certificates") {
		t.Errorf("from elsewhere: %v", err)
	}
}
