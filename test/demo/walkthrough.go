package main

import (
	"fmt"
	"io"

	"github.com/vault-authz/vault-authz/test/parts"
)

// The record is that of the announcement of Kong's plugin.
const (
	mount      = "kong-auth"
	access     = "foo"
	secret     = "supersecretvalue"
	consumerID = "ce67c25e-2168-4a09-81e5-e06187a2384f"
)

// The files that hold the Vault tokens, so that no token is printed.
const (
	readerTokenFile = "vault-token"
	rootTokenFile   = "root-token"
)

func record() map[string]any {
	return map[string]any{
		"access_token": access,
		"secret_token": secret,
		"consumer":     map[string]any{"id": consumerID},
		"ttl":          86400,
	}
}

// entities returns the vaults, consumers and policies of the configuration.
func entities(vault, tokenFile string) string {
	return fmt.Sprintf(`
vaults:
  - name: kong-auth
    address: %s
    mount: %s
    kv: %s
    token: {file: %q}
    cache: {ttl: 60s, absent_ttl: 1s}
consumers:
  - {id: %s, username: alice, custom_id: c-1, groups: [gold]}
policies:
  - {name: default, default: true, vault: kong-auth}
`, vault, mount, parts.KVv1, tokenFile, consumerID)
}

// A step is a command to paste, with its result.
type step struct {
	title, command string
	// status is the HTTP status that curl shows.
	status int
}

func (d *demo) walkthrough() []step {
	url := "http://" + d.envoy.Address(listener) + "/orders"
	headers := fmt.Sprintf("-H 'access-token: %s' -H 'secret-token: %s'", access, secret)
	return []step{
		{"Allowed, with the pair in headers. The upstream shows what reached it: alice's headers, and no secret.", fmt.Sprintf("curl -i %s %s", headers, url), 200},
		{"Allowed, with the pair in the query, which does not reach the upstream.", fmt.Sprintf("curl -i '%s?access_token=%s&secret_token=%s&page=2'", url, access, secret), 200},
		{"Denied: a wrong secret.", fmt.Sprintf("curl -i -H 'access-token: %s' -H 'secret-token: wrong' %s", access, url), 401},
		{"Denied: no pair at all.", "curl -i " + url, 401},
		{"Allowed, as alice: the identity that the client claims is removed.", fmt.Sprintf("curl -i %s -H 'X-Consumer-Username: admin' -H 'x_consumer_id: 1' %s", headers, url), 200},
		{
			"A pair of your own, written to " + d.kind.title + "; use it as above.",
			fmt.Sprintf(`curl -i -H "X-Vault-Token: $(cat %s)" %s/v1/%s/bar -d '{"access_token":"bar","secret_token":"another","consumer":{"id":"%s"}}'`,
				d.file(rootTokenFile), d.vault.Address, mount, consumerID),
			204,
		},
	}
}

// explain prints which programs run, and the walkthrough.
func (d *demo) explain(out io.Writer) {
	fmt.Fprintf(out, `
  curl ──► Envoy %s ──► upstream %s
             └──► vault-authz %s ──► %s %s

`, d.envoy.Address(listener), d.upstream.Address(), d.service.GRPC, d.kind.title, d.vault.Address)
	for _, s := range d.walkthrough() {
		fmt.Fprintf(out, "# %s (%d)\n%s\n\n", s.title, s.status, s.command)
	}
	fmt.Fprintln(out, "Press Ctrl-C to stop everything.")
}
