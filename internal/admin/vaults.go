package admin

import (
	"net/netip"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/kvpath"
	"github.com/vault-authz/vault-authz/internal/state"
)

// The KV engine's versions.
const (
	kv1 = "v1"
	kv2 = "v2"
)

func vaultsEntity() *entity {
	return &entity{
		kind: state.KindVaults, name: "vaults", key: "name",
		fields: []field{
			idField,
			{name: "name", required: true, check: checkName},
			{name: "protocol", required: true, oneOf: []string{"http", "https"}},
			{name: "host", required: true, check: checkHost},
			{name: "port", kind: integer, required: true, min: 0, max: 65535},
			{name: "mount", required: true, check: checkMount},
			// Not Kong's.
			{name: "prefix", check: checkMount},
			// The announcement of 2019 calls it token.
			{name: "vault_token", alias: "token", required: true, secret: true, check: checkVaultToken},
			{name: "kv", byDefault: kv1, oneOf: []string{kv1, kv2}},
			{name: "namespace", check: checkMount},
			createdField, updatedField,
		},
		unique: func(d document) []constraint { return uniqueTexts(d, "name") },
		check:  checkVault,
		inUse:  vaultInUse,
	}
}

// checkName is for names that stand in paths beside ids.
func checkName(s string) string {
	switch {
	case authz.IsUUID(s):
		return "must not look like an id"
	case len(s) > 128:
		return "length must be at most 128"
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f {
			return "must not contain control characters"
		}
	}
	return ""
}

func checkHost(s string) string {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && ip.Zone() == "" {
		return ""
	}
	if len(s) > 253 || strings.Trim(s, ".-") != s {
		return "expected a host name or an address"
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return "expected a host name or an address"
		}
	}
	return ""
}

// checkMount wants plain segments: the mount becomes part of a URL's path.
func checkMount(s string) string {
	for segment := range strings.SplitSeq(s, "/") {
		if !kvpath.IsSegment(segment) {
			return "expected plain segments without a slash at either end"
		}
	}
	return ""
}

// checkVaultToken wants what fits into a header, and does not repeat the token.
func checkVaultToken(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return "expected visible ASCII"
		}
	}
	return ""
}

// checkVault knows the mask that stands for the token in answers, so that an
// answer can be sent back. A token that is not given again goes to the paths of the
// server that it was given for, and to no other: those who cannot read it must not
// be able to have it sent elsewhere, or to have it read something else.
func checkVault(a *API, d, old document, v violations) error {
	if d["port"] == int64(0) {
		v.add("port", "0 is no port to connect to")
	}
	switch {
	case d["vault_token"] != masked:
	case old == nil:
		v.add("vault_token", "is the mask that answers show, give the token itself")
	default:
		d["vault_token"] = old["vault_token"]
		for _, name := range []string{"protocol", "host", "port", "mount", "prefix", "kv", "namespace"} {
			if d[name] != old[name] {
				v.add("vault_token", "must be given again where protocol, host, port, mount, prefix, kv or namespace changes")
			}
		}
	}
	if len(v) == 0 {
		v.addErrors(a.deps.Vaults.Validate(vaultObjectOf(d)), vaultField)
	}
	return nil
}

// vaultField is the field here of a setting that a vault object is opened with.
func vaultField(setting string) string {
	switch setting {
	case "address":
		return "host"
	case "token":
		return "vault_token"
	}
	return setting
}

func vaultObjectOf(d document) VaultObject {
	return VaultObject{
		ID: d.text("id"), Name: d.text("name"), Protocol: d.text("protocol"), Host: d.text("host"), Port: int(d.number("port")),
		Mount: d.text("mount"), Prefix: d.text("prefix"), Token: Hide(d.text("vault_token")), KV: d.text("kv"), Namespace: d.text("namespace"),
	}
}

func vaultInUse(a *API, d document) error {
	all, err := a.all(a.policies)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.record("vault").text("id") == d.text("id") {
			return referencedBy(a.vaults.name, "plugins")
		}
	}
	return nil
}
