package parts

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// EnvoyConfig configures an Envoy.
type EnvoyConfig struct {
	// Binary is the program, and Dir an existing folder for its files.
	Binary, Dir string
	// Upstream is the host:port of the upstream.
	Upstream  string
	Listeners []Listener
	// Policies are the policies with a virtual host of their own, [PolicyHost], whose
	// routes name the policy in context_extensions. The routes of other hosts name no
	// policy.
	Policies []string
	// HealthChecks is the interval of gRPC health checks, 0 for none.
	HealthChecks time.Duration
	// Collector is the host:port of a collector for Envoy's spans (OTLP over gRPC), empty for
	// no traces.
	Collector string
	// AuthzTLS is the TLS to the authorizers, nil for plain text.
	AuthzTLS *EnvoyTLS
}

// EnvoyTLS is the client side of mutual TLS.
type EnvoyTLS struct {
	// Dir contains tls.crt, tls.key and ca.crt. Envoy reads them again when ..data is
	// replaced.
	Dir string
	// ServerName is the DNS name of the authorizer.
	ServerName string
}

// Secret returns the file with the configuration of a secret (SDS).
func (t *EnvoyTLS) Secret(name string) string { return filepath.Join(t.Dir, name+".yaml") }

// write writes the configuration of all secrets.
func (t *EnvoyTLS) write() error {
	for name, content := range map[string]string{
		"certificate": "tls_certificate: {certificate_chain: {filename: %[1]s/tls.crt}, private_key: {filename: %[1]s/tls.key}, watched_directory: {path: %[1]s}}",
		"authorities": "validation_context: {trusted_ca: {filename: %[1]s/ca.crt}, watched_directory: {path: %[1]s}, match_typed_subject_alt_names: [{san_type: DNS, matcher: {exact: %[2]q}}]}",
	} {
		text := fmt.Appendf(nil, "resources:\n- \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret\n  name: "+name+"\n  "+content+"\n", t.Dir, t.ServerName)
		if err := os.WriteFile(t.Secret(name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// A Listener is a listener with its own ext_authz filter. Its name is also its stat prefix.
type Listener struct {
	Name string
	// Port is the port, 0 for a free one.
	Port int
	// Authz is the address of the authorizer: host:port or unix:/path, or several of
	// them, separated by commas.
	Authz string
	// TCP uses the network filter instead of the HTTP filter.
	TCP bool
	// Timeout is the timeout of a check, 0 for Envoy's default of 200 ms.
	Timeout                                               time.Duration
	EncodeRawHeaders, FailureModeAllow, ValidateMutations bool
	// Body sends the request body to the authorizer, unless it is nil.
	Body *Body
	// Underscores is headers_with_underscores_action, ALLOW if empty.
	Underscores string
}

// Body is with_request_body.
type Body struct {
	MaxBytes                  int
	AllowPartial, PackAsBytes bool
}

// PolicyHost returns the host whose routes name a policy. The empty name has a host, too.
func PolicyHost(policy string) string { return cmp.Or(policy, "nothing") + ".policy.test" }

//go:embed bootstrap.yaml.tmpl
var bootstrapTemplate string

// bootstrap returns the configuration.
func (c *EnvoyConfig) bootstrap() ([]byte, error) {
	t, err := template.New("bootstrap").Funcs(template.FuncMap{
		"json":       quote,
		"cluster":    clusterName,
		"addresses":  socketAddresses,
		"address":    socketAddress,
		"policyHost": PolicyHost,
		"seconds":    seconds,
	}).Parse(bootstrapTemplate)
	if err != nil {
		return nil, fmt.Errorf("reading the bootstrap template: %w", err)
	}
	authorizers := map[string]bool{}
	for _, l := range c.Listeners {
		authorizers[l.Authz] = true
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		*EnvoyConfig
		Authorizers []string
	}{c, sortedKeys(authorizers)})
	return out.Bytes(), err
}

// quote returns a string as JSON, which is also YAML.
func quote(s string) (string, error) {
	b, err := json.Marshal(s)
	return string(b), err
}

func clusterName(authorizer string) string { return "authz " + authorizer }

func seconds(d time.Duration) string {
	if d == 0 {
		d = 200 * time.Millisecond
	}
	return fmt.Sprintf("%.3fs", d.Seconds())
}

// socketAddresses returns addresses, separated by commas, in Envoy's notation.
func socketAddresses(all string) ([]string, error) {
	var out []string
	for one := range strings.SplitSeq(all, ",") {
		written, err := socketAddress(one)
		if err != nil {
			return nil, err
		}
		out = append(out, written)
	}
	return out, nil
}

// socketAddress returns host:port or unix:/path in Envoy's notation.
func socketAddress(address string) (string, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		quoted, err := quote(path)
		return fmt.Sprintf("{pipe: {path: %s}}", quoted), err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("address %q: %w", address, err)
	}
	return fmt.Sprintf("{socket_address: {address: %q, port_value: %s}}", host, port), nil
}
