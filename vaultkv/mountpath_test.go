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
		if got := vaultkv.LiesIn(test.namespace, test.mount, test.ofNamespace, test.ofMount); got != test.want {
			t.Errorf("Within(%q, %q, %q, %q) = %t, want %t", test.namespace, test.mount, test.ofNamespace, test.ofMount, got, test.want)
		}
	}
}

func TestAVaultObjectReachesAMountByItsFolderToo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		mount, prefix, kv, of string
		want                  bool
	}{
		{"state", "", "v1", "state", true},
		{"state", "kong-auth", "v2", "state", true},
		{"secret", "", "v1", "secret/state", false},
		{"secret", "state", "v1", "secret/state", true},
		{"secret", "State/data", "v1", "secret/state", true},
		{"secret", "state2", "v1", "secret/state", false},
		{"secret", "", "v2", "secret/data", true},
		{"secret", "state", "v2", "secret/data/state", true},
		{"secret", "state/x", "v2", "secret/metadata/state", true},
		{"secret", "state", "v2", "secret/state", false},
	} {
		c := vaultkv.Config{Mount: test.mount, Prefix: test.prefix, KV: test.kv}
		if got := c.Reaches("", test.of); got != test.want {
			t.Errorf("mount %q, prefix %q, %s reaches the mount %q: %t, want %t", test.mount, test.prefix, test.kv, test.of, got, test.want)
		}
	}
}

// Whatever key a client sends: the request is about one entry right in the folder,
// or there is none.
func FuzzNoKeyLeadsOutOfTheFolder(f *testing.F) {
	for _, s := range [][3]string{
		{"kong-auth", "", "token"},
		{"shared", "team-a/kong-auth", "token"},
		{"shared", "team-a", "../team-b/token"},
		{"shared", "team-a", ".."},
		{"shared", "team-a", "%2e%2e"},
		{"shared", "team-a", "a/b"},
		{"shared", "..", "token"},
		{"shared", "a//b", "token"},
		{"ns1", "sys/policies", "acl"},
		{"shared", "team-a", "x?list=true"},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, mount, prefix, key string) {
		for _, kv := range []string{vaultkv.KV1, vaultkv.KV2} {
			c := goodConfig()
			c.Mount, c.Prefix, c.KV = mount, prefix, kv
			if c.Validate() != nil {
				return
			}
			for kind, p := range vaultkv.PathsOf(c, key) {
				folder := mount
				if kv == vaultkv.KV2 {
					folder += "/" + kind
				}
				folder = strings.TrimSuffix(folder+"/"+prefix, "/")
				u, err := url.Parse("http://vault/v1/" + p)
				if err != nil || path.Dir(u.Path) != "/v1/"+folder || u.Path != "/v1/"+p || u.Path != path.Clean(u.Path) || u.RawQuery != "" || u.Fragment != "" {
					t.Fatalf("mount %q, prefix %q, key %q, %s: the path is %q", mount, prefix, key, kv, p)
				}
				for segment := range strings.SplitSeq(strings.ToLower(path.Dir(u.Path)), "/") {
					if slices.Contains([]string{"sys", "auth", "identity", "cubbyhole"}, segment) {
						t.Fatalf("mount %q, prefix %q: %q leads to %q", mount, prefix, p, segment)
					}
				}
			}
		}
	})
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
