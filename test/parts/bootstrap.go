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

// EnvoyConfig says how an Envoy is set up.
type EnvoyConfig struct {
	// Binary is the Envoy to run, and Dir an existing folder for its files.
	Binary, Dir string
	// Upstream is the host:port behind it.
	Upstream  string
	Listeners []Listener
	// Policies each get a virtual host, [PolicyHost], whose routes name the
	// policy in context_extensions. Requests for all other hosts go upstream
	// without a policy being named.
	Policies []string
	// HealthChecks asks each authorizer whether it is ready, so often.
	HealthChecks time.Duration
	// AuthzTLS is the TLS that the authorizers are asked with, nil for none.
	AuthzTLS *EnvoyTLS
}

// EnvoyTLS is the client's side of mutual TLS.
type EnvoyTLS struct {
	// Dir has tls.crt, tls.key and ca.crt, and is watched for the swap of ..data.
	Dir string
	// ServerName is the DNS name that the other side has.
	ServerName string
}

// Secret is the file that tells Envoy of the others, of which there is one for each secret.
func (t *EnvoyTLS) Secret(name string) string { return filepath.Join(t.Dir, name+".yaml") }

// write writes these files.
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

// A Listener is one listener, with its own ext_authz filter. Its name is also
// its stat prefix.
type Listener struct {
	Name string
	// Port is 0 for a free one.
	Port int
	// Authz is where the filter asks: host:port or unix:/path, or several of
	// them, separated by commas.
	Authz string
	// TCP takes the network filter instead of the HTTP one.
	TCP bool
	// Timeout is that of one check; 0 is Envoy's default of 200 ms.
	Timeout                                               time.Duration
	EncodeRawHeaders, FailureModeAllow, ValidateMutations bool
	// Body sends the request's body along, nil does not.
	Body *Body
	// Underscores is headers_with_underscores_action: ALLOW if empty,
	// REJECT_REQUEST or DROP_HEADER.
	Underscores string
}

// Body is with_request_body.
type Body struct {
	MaxBytes                  int
	AllowPartial, PackAsBytes bool
}

// PolicyHost returns the host under which a policy is named by the route. The
// empty name is one, too.
func PolicyHost(policy string) string { return cmp.Or(policy, "nothing") + ".policy.test" }

//go:embed bootstrap.yaml.tmpl
var bootstrapTemplate string

// bootstrap writes the configuration file.
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

// quote writes a string as JSON, which YAML reads alike whatever is in it.
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

// socketAddresses writes each of several addresses as Envoy does.
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

// socketAddress writes host:port or unix:/path as Envoy does.
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
