package vaultkv_test

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/vaultkv"
)

func TestVaultsOwnPathsAreNoMounts(t *testing.T) {
	t.Parallel()
	for _, mount := range []string{
		"sys", "auth", "identity", "cubbyhole", "sys/policies", "sys/policies/acl", "auth/token/roles", "identity/entity/id",
		"SYS", "Auth", "CubbyHole", "sYs/policies/acl",
		"/sys", "sys/", "//sys", "./sys", "a/../sys", "%73ys", "sys%2fpolicies", "sys\\policies", "ſys", "sys ",
		"ns1/sys", "ns1/sys/policies/acl", "ns1/ns2/auth/token", "ns1/Identity/oidc", "v1/sys", "",
	} {
		if err := vaultkv.ValidateMount(mount); err == nil {
			t.Errorf("%q is taken for a mount", mount)
		}
	}
	for _, mount := range []string{"kong-auth", "system", "vault-auth", "auths", "my-identity", "team/kv", "sys-kv/a", "cubbyhole2"} {
		if err := vaultkv.ValidateMount(mount); err != nil {
			t.Errorf("%q: %v, want a mount", mount, err)
		}
	}
}

func TestAMountIsWithinAnotherHoweverItsNamespaceIsWritten(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		namespace, mount, ofNamespace, ofMount string
		want                                   bool
	}{
		{"", "state", "", "state", true},
		{"", "State", "", "state", true},
		{"root", "state", "", "state", true},
		{"", "state", "root", "state", true},
		{"", "state/data/records", "", "state", true},
		{"ns1/", "state", "ns1", "state", true},
		{"", "ns1/state", "ns1", "state", true},
		{"ns1", "state", "", "ns1/state", true},
		{"ns1", "ns2/state/data", "ns1/ns2", "state", true},
		{"", "state2", "", "state", false},
		{"", "stat", "", "state", false},
		{"ns1", "state", "", "state", false},
		{"", "state", "ns1", "state", false},
		{"ns2", "state", "ns1", "state", false},
		{"", "ns1", "ns1", "state", false},
	} {
		if got := vaultkv.Within(test.namespace, test.mount, test.ofNamespace, test.ofMount); got != test.want {
			t.Errorf("Within(%q, %q, %q, %q) = %t, want %t", test.namespace, test.mount, test.ofNamespace, test.ofMount, got, test.want)
		}
	}
}

// A mount that is taken is the same path after any cleaning and decoding, and none
// of its segments is Vault's own.
func FuzzMountsThatAreTakenStayOutOfVaultsOwnPaths(f *testing.F) {
	for _, mount := range []string{"kong-auth", "team/kv", "sys", "a/../sys", "%73ys", "ns1/SYS/x", "./auth", "a//cubbyhole", "identity?x", "sys;x"} {
		f.Add(mount)
	}
	f.Fuzz(func(t *testing.T, mount string) {
		if vaultkv.ValidateMount(mount) != nil {
			return
		}
		u, err := url.Parse("http://vault/v1/" + mount + "/key")
		if err != nil || u.Path != "/v1/"+mount+"/key" || u.Path != path.Clean(u.Path) || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q becomes %v, %v", mount, u, err)
		}
		for segment := range strings.SplitSeq(strings.ToLower(u.Path), "/") {
			if slices.Contains([]string{"sys", "auth", "identity", "cubbyhole"}, segment) {
				t.Fatalf("%q leads to %q", mount, segment)
			}
		}
	})
}
