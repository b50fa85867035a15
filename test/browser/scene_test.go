package browser

import (
	"net/http"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A scene is a site in which something has happened.
type scene struct {
	consumer api.Consumer
	pair     pair
	// denied is the id of a denied request.
	denied string
}

// play makes consumers, credentials, policies and requests.
func (s *site) play(t *testing.T) scene {
	t.Helper()
	consumers := map[string]api.Consumer{}
	for _, c := range []struct{ username, customID, tag, group string }{
		{"acme-billing", "crm-1001", "gold", "partners"},
		{"acme-mobile", "crm-1002", "gold", "partners"},
		{"globex-reports", "crm-1003", "silver", "reporting"},
		{"initech-sync", "crm-1004", "silver", "internal"},
		{"umbrella-import", "crm-1005", "trial", "reporting"},
	} {
		made, err := s.operator.Consumers.Create(t.Context(), api.Consumer{Username: &c.username, CustomID: &c.customID, Tags: []string{c.tag}})
		must(t, err)
		_, err = s.operator.AddToGroup(t.Context(), made.ID, api.ACL{Group: c.group})
		must(t, err)
		consumers[c.username] = made
	}
	vault, err := s.operator.Vaults.Get(t.Context(), vaultName)
	must(t, err)
	for _, policy := range []api.Policy{
		{Name: "reports", Hosts: []string{"reports.example.test"}, ACL: &api.PolicyACL{Allow: []string{"reporting", "internal"}}},
		{Name: "uploads", Hosts: []string{"*.example.test"}, Paths: []string{"/uploads"}},
	} {
		policy.Vault = &api.Ref{ID: vault.ID}
		_, err := s.operator.Policies.Create(t.Context(), policy)
		must(t, err)
	}
	main := s.credential(t, consumers["acme-billing"])
	other, rotated, disabled := s.credential(t, consumers["globex-reports"]), s.credential(t, consumers["acme-billing"]), s.credential(t, consumers["initech-sync"])
	_, err = s.operator.RotateCredential(t.Context(), vaultName, rotated.access, api.Rotation{})
	must(t, err)
	_, err = s.operator.PatchCredential(t.Context(), vaultName, disabled.access, map[string]any{"disabled": true})
	must(t, err)
	in := time.Now().Add(9 * 24 * time.Hour).Unix()
	_, err = s.operator.PatchCredential(t.Context(), vaultName, other.access, map[string]any{"expires_at": in})
	must(t, err)
	for range 40 {
		s.awaitStatus(t, http.StatusOK, partnersHost, "/orders/7", main)
		s.awaitStatus(t, http.StatusOK, "reports.example.test", "/monthly", other)
	}
	for range 3 {
		s.awaitStatus(t, http.StatusUnauthorized, defaultHost, "/orders", pair{main.access, "an-old-secret"})
		s.awaitStatus(t, http.StatusUnauthorized, defaultHost, "/status", pair{"nobody-has-this", "x"})
	}
	s.awaitStatus(t, http.StatusUnauthorized, defaultHost, "/sync", disabled)
	denial := s.awaitStatus(t, http.StatusForbidden, partnersHost, "/orders/7", other)
	return scene{consumers["acme-billing"], main, requestID(t, denial)}
}
