package app

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

func vaultForm(mount, prefix, namespace string) url.Values {
	return url.Values{
		"name": {"payments"}, "protocol": {"http"}, "host": {"127.0.0.1"}, "port": {"8200"}, "vault_token": {"hvs.token"},
		"mount": {mount}, "prefix": {prefix}, "namespace": {namespace},
	}
}

func TestTheAdminAPIRefusesMountsThatAreVaultsOwnOrTheState(t *testing.T) {
	t.Parallel()
	r := startReplica(t, newShared())
	partstest.Eventually(t, "a vault object is made", func() bool {
		code, _ := r.call(t, http.MethodPut, "/vault-auth/good", vaultForm("kong-auth", "", ""))
		return code == http.StatusOK
	})
	for _, test := range []struct{ mount, prefix, namespace string }{
		{"sys", "", ""},
		{"SYS/policies/acl", "", ""},
		{"/sys", "", ""},
		{"%73ys", "", ""},
		{"auth/token/roles", "", ""},
		{"cubbyhole", "", ""},
		{"identity", "", "ns1"},
		{"ns1/sys", "", ""},
		{"acl", "", "sys/policies"},
		{"vault-authz", "", ""},
		{"vault-authz", "", "root"},
		{"vault-authz/data/records", "", ""},
		{"Vault-Authz", "", ""},
		{"ns1", "sys/policies/acl", ""},
		{"ns1", "AUTH", ""},
		{"shared", "../sys", ""},
		{"shared", "a/../../vault-authz", ""},
		{"shared", "a//b", ""},
		{"vault-authz", "data/records", ""},
	} {
		form := vaultForm(test.mount, test.prefix, test.namespace)
		for method, path := range map[string]string{
			http.MethodPost: "/vault-auth", http.MethodPut: "/vault-auth/payments", http.MethodPatch: "/vault-auth/good",
		} {
			code, out := r.call(t, method, path, form)
			fields, _ := out["fields"].(map[string]any)
			if code != http.StatusBadRequest || fields["mount"] == nil && fields["prefix"] == nil && fields["namespace"] == nil {
				t.Errorf("%s %s with mount %q, prefix %q and namespace %q: got %d %v, want a 400 about it", method, path, test.mount, test.prefix, test.namespace, code, out)
			}
		}
	}
	if code, out := r.call(t, http.MethodGet, "/vault-auth/good", nil); code != http.StatusOK || out["mount"] != "kong-auth" || out["namespace"] != nil {
		t.Errorf("got %d %v, want the vault object as it was made", code, out)
	}
}
