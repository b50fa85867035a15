package app

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/redact"
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
	eventually(t, "a vault object is made", func() bool {
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

// An earlier version took such mounts.
func TestAStoredVaultObjectOfTheStatesMountIsNotOpenedAndSaysWhy(t *testing.T) {
	t.Parallel()
	core, log := observer.New(zapcore.ErrorLevel)
	c := DevConfig()
	r := reconciler{log: zap.New(core)}
	object := admin.VaultObject{ID: "x", Name: "payments", Protocol: "http", Host: "elsewhere", Port: 8200, Mount: c.State.Mount, Token: redact.New("hvs.token")}
	if opened := r.storedVault(object, &c); !opened.Lost {
		t.Error("it is opened")
	}
	lines := log.FilterMessage("vault objects are not open").All()
	if len(lines) != 1 || !strings.Contains(lines[0].ContextMap()["error"].(string), `vault object "payments": mount: "vault-authz" is refused: the state is kept there`) {
		t.Errorf("got %v, want one line that says why", lines)
	}
	object.Mount = "kong-auth"
	if opened := r.storedVault(object, &c); opened.Lost {
		t.Error("one of another mount is not opened")
	}
}

func TestAStoredVaultObjectOfVaultsOwnPathIsNotOpenedAndSaysWhy(t *testing.T) {
	t.Parallel()
	v := vaultConfig(admin.VaultObject{ID: "x", Name: "payments", Protocol: "http", Host: "127.0.0.1", Port: 8200, Mount: "sys/policies/acl", Token: redact.New("hvs.token")})
	_, err := serverEngines{}.Engine(&v, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), `mount: "sys/policies/acl" is refused: Vault keeps "sys" for itself`) || strings.Contains(err.Error(), "hvs.") {
		t.Errorf("got %v, want an error that says why, without the token", err)
	}
}
