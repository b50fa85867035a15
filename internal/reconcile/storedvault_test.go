package reconcile

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/redact"
	"github.com/vault-authz/vault-authz/internal/vaults"
)

// An earlier version took such mounts.
func TestAStoredVaultObjectOfTheStatesMountIsNotOpenedAndSaysWhy(t *testing.T) {
	t.Parallel()
	core, log := observer.New(zapcore.ErrorLevel)
	c := demo()
	r := Reconciler{log: zap.New(core)}
	object := entities.VaultObject{ID: "x", Name: "payments", Protocol: "http", Host: "elsewhere", Port: 8200, Mount: c.State.Mount, Token: redact.New("hvs.token")}
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
	v := vaultConfig(entities.VaultObject{ID: "x", Name: "payments", Protocol: "http", Host: "127.0.0.1", Port: 8200, Mount: "sys/policies/acl", Token: redact.New("hvs.token")})
	_, err := vaults.Servers{}.Engine(&v, zap.NewNop())
	if err == nil || !strings.Contains(err.Error(), `mount: "sys/policies/acl" is refused: Vault keeps "sys" for itself`) || strings.Contains(err.Error(), "hvs.") {
		t.Errorf("got %v, want an error that says why, without the token", err)
	}
}
