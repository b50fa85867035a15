package e2e

import (
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
)

// The consumers.
const (
	aliceID   = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	bobID     = "0b0b0b0b-2168-4a09-81e5-e06187a2384f"
	guestID   = "60e57000-2168-4a09-81e5-e06187a2384f"
	visitorID = "7151702a-2168-4a09-81e5-e06187a2384f"
)

const consumers = `
consumers:
  - {id: ce67c25e-2168-4a09-81e5-e06187a2384f, username: alice, custom_id: c-1, groups: [gold, eu]}
  - {id: 0b0b0b0b-2168-4a09-81e5-e06187a2384f, username: bob}
  - {id: 60e57000-2168-4a09-81e5-e06187a2384f, username: guest}
  - {id: 7151702a-2168-4a09-81e5-e06187a2384f, custom_id: visitor, groups: [public]}
`

// The timeouts are long enough for two cores and the race detector. No test of the shared
// testbed depends on them.
const sharedEntities = `
vaults:
  - {name: v1, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 5s, cache: {ttl: 60s, absent_ttl: 1s, max_stale: 30s}}
  - {name: v2, address: VAULT, mount: kong-auth-v2, kv: v2, token: {file: TOKENFILE}, timeout: 5s, cache: {ttl: 60s, absent_ttl: 1s, max_stale: 30s}}
` + consumers + `
policies:
  - {name: default, default: true, vault: v1}
  - {name: v2, vault: v2}
  - {name: visible, vault: v1, hide_credentials: false}
  - {name: anonymous, vault: v1, anonymous: guest}
  - {name: anonymous-acl, vault: v1, anonymous: guest, acl: {allow: [gold]}}
  - {name: anonymous-public, vault: v1, anonymous: 7151702a-2168-4a09-81e5-e06187a2384f, acl: {allow: [public]}}
  - {name: acl-allow, vault: v1, acl: {allow: [gold, silver]}}
  - {name: acl-deny, vault: v1, acl: {deny: [eu]}}
  - {name: no-groups, vault: v1, hide_groups_header: true}
  - {name: no-identifier, vault: v1, hide_credential_identifier: true}
  - {name: shadow, vault: v1, shadow: true}
  - {name: preflight, vault: v1, run_on_preflight: false}
  - {name: preflight-any, vault: v1, run_on_preflight: false, preflight: any}
  - {name: body, vault: v1, tokens_in_body: true, body_credentials_visible: true}
  - {name: names, vault: v1, access_token_name: [x-api-id, api_id], secret_token_name: x-api-secret}
  - {name: realm, vault: v1, realm: orders}
  - {name: basic, vault: v1, authorization_scheme: basic, realm: shop}
  - {name: bearer, vault: v1, authorization_scheme: bearer, access_token_name: [access_token, authorization]}
  - {name: by-path, vault: v1, paths: [/orders], acl: {allow: [nobody]}}
  - {name: by-any-case, vault: v1, hosts: ["*.case.test"], paths: [/admin], ignore_case: true, acl: {allow: [nobody]}}
  - {name: by-host, vault: v1, hosts: ["*.hosts.test"], realm: hosts}
  - {name: by-host-and-path, vault: v1, hosts: ["*.hosts.test"], paths: [/admin], acl: {allow: [nobody]}}
`

// unconfiguredPolicy is named by a route and does not exist.
const unconfiguredPolicy = "unconfigured"

// The listeners of the shared testbed.
const (
	onHeaders   = "headers"
	onRaw       = "raw"
	onValidated = "validated"
	onBody      = "body"
	onBodyBytes = "body-bytes"
	onWholeBody = "whole-body"
	onRejecting = "rejecting-underscores"
	onDropping  = "dropping-underscores"
	onLarge     = "large-body"
	onStats     = "stats"
	onTCP       = "tcp"
)

// bodyLimit is max_request_bytes of the listeners that send bodies, largeBodyLimit that of
// the listener that sends more than vault-authz accepts.
const (
	bodyLimit      = 4096
	largeBodyLimit = 80 << 20
)

func sharedSetup() setup {
	listeners := []parts.Listener{
		{Name: onHeaders},
		{Name: onRaw, EncodeRawHeaders: true},
		{Name: onValidated, ValidateMutations: true},
		{Name: onBody, Body: &parts.Body{MaxBytes: bodyLimit, AllowPartial: true}},
		{Name: onBodyBytes, Body: &parts.Body{MaxBytes: bodyLimit, AllowPartial: true, PackAsBytes: true}, EncodeRawHeaders: true},
		{Name: onWholeBody, Body: &parts.Body{MaxBytes: bodyLimit}},
		{Name: onRejecting, Underscores: "REJECT_REQUEST"},
		{Name: onDropping, Underscores: "DROP_HEADER"},
		{Name: onLarge, Body: &parts.Body{MaxBytes: largeBodyLimit, PackAsBytes: true}, FailureModeAllow: true},
		{Name: onStats},
		{Name: onTCP, TCP: true},
	}
	for i := range listeners {
		listeners[i].Timeout = 10 * time.Second
	}
	return setup{
		entities:  sharedEntities,
		listeners: listeners,
		policies: []string{
			"default", "v2", "visible", "anonymous", "anonymous-acl", "anonymous-public", "acl-allow", "acl-deny",
			"no-groups", "no-identifier", "shadow", "preflight", "preflight-any", "body", "names", "realm", "basic", "bearer",
			unconfiguredPolicy, "",
		},
	}
}
