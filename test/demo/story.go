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

// The files with Vault's tokens, so that neither is printed.
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

// entities is the configuration beside what the parts are told anyway.
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

// A line is a command to paste, with what comes of it.
type line struct {
	title, command string
	// status is what curl shows.
	status int
}

func (d *demo) lines() []line {
	url := "http://" + d.envoy.Address(listener) + "/orders"
	headers := fmt.Sprintf("-H 'access-token: %s' -H 'secret-token: %s'", access, secret)
	return []line{
		{"Allowed, with the pair in headers. The upstream shows what reached it: alice's headers, and no secret.", fmt.Sprintf("curl -i %s %s", headers, url), 200},
		{"Allowed, with the pair in the query, which the upstream does not get to see.", fmt.Sprintf("curl -i '%s?access_token=%s&secret_token=%s&page=2'", url, access, secret), 200},
		{"Denied: a wrong secret.", fmt.Sprintf("curl -i -H 'access-token: %s' -H 'secret-token: wrong' %s", access, url), 401},
		{"Denied: no pair at all.", "curl -i " + url, 401},
		{"Allowed, but as alice and not as whom the client claims to be.", fmt.Sprintf("curl -i %s -H 'X-Consumer-Username: admin' -H 'x_consumer_id: 1' %s", headers, url), 200},
		{
			"A pair of your own, written to Vault; use it as above.",
			fmt.Sprintf(`curl -i -H "X-Vault-Token: $(cat %s)" %s/v1/%s/bar -d '{"access_token":"bar","secret_token":"another","consumer":{"id":"%s"}}'`,
				d.file(rootTokenFile), d.vault.Address, mount, consumerID),
			204,
		},
	}
}

// explain prints what runs and what to try.
func (d *demo) explain(out io.Writer) {
	fmt.Fprintf(out, `
  curl ──► Envoy %s ──► upstream %s
             └──► vault-authz %s ──► Vault %s

`, d.envoy.Address(listener), d.upstream.Address(), d.service.GRPC, d.vault.Address)
	for _, l := range d.lines() {
		fmt.Fprintf(out, "# %s (%d)\n%s\n\n", l.title, l.status, l.command)
	}
	fmt.Fprintln(out, "Press Ctrl-C to end all of it.")
}
