package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestTheLifeOfACredential goes from a new consumer to its end, as an operator does, and asks
// Envoy after each step. Then Vault fails.
func TestTheLifeOfACredential(t *testing.T) {
	for _, c := range []siteConfig{onOpenBao(), onVault()} {
		t.Run(c.server.name, func(t *testing.T) {
			partstest.Need(t, c.server.variable)
			s := ownSite(t, c)
			p := openTab(t, s)
			p.allowClipboard()
			p.signIn(s.writer, "#/consumers", "consumers")

			p.createConsumer("acme-billing", "crm-4711", "gold, eu")
			p.see("acme-billing", "crm-4711", "gold", "eu")
			p.click("button", "Add to a group")
			p.fill("Group", "partners")
			p.click("button", "Add")
			p.seeA("button", "Take acme-billing out of partners")

			first := p.createCredential("acme-billing")
			p.checkForgotten(first.secret)
			echo := s.awaitStatus(t, http.StatusOK, partnersHost, "/orders/7", first).Echo
			if echo == nil || len(echo.Headers["x-consumer-username"]) != 1 || echo.Headers["x-consumer-username"][0] != "acme-billing" {
				t.Errorf("the upstream got %+v, want the consumer acme-billing", echo)
			}

			p.click("link", first.access)
			p.view("credential")
			second := p.rotate(first.access)
			p.checkForgotten(second.secret)
			p.see("rotating")
			s.awaitStatus(t, http.StatusOK, partnersHost, "/orders/7", second)
			s.awaitStatus(t, http.StatusOK, partnersHost, "/orders/7", first)

			p.click("button", "Disable")
			p.see("Disable this credential?", first.access)
			p.click("button", "Disable")
			p.seeA("button", "Enable")
			id := requestID(t, s.awaitStatus(t, http.StatusUnauthorized, partnersHost, "/orders/7?page=2", second))
			p.why(id)
			p.see("Denied with 401", "disabled", "/orders/7", "partners")
			p.gone("page=2")

			p.whyCurl(partnersHost, "/orders/7?page=2", second)
			p.see("Denied with 401", "disabled", "header access-token")
			p.checkForgottenInAddress(second)

			p.visit("#/credentials/"+vaultName+"/"+first.access, "credential")
			p.click("button", "Enable")
			p.see("Enable this credential?")
			p.click("button", "Enable")
			p.seeA("button", "Disable")
			s.awaitStatus(t, http.StatusOK, partnersHost, "/orders/7", second)
			p.whyCurl(partnersHost, "/orders/7", second)
			p.see("Allowed", "acme-billing", "partners")
			p.whyCurl(partnersHost, "/orders/7", pair{second.access, "a-wrong-secret"})
			p.see("Denied with 401", "wrong secret")

			s.checkVaultFails(t, p)

			p.visit("#/credentials/"+vaultName+"/"+first.access, "credential")
			p.click("button", "Delete")
			p.see("Delete this credential?", first.access)
			p.click("button", "Cancel")
			s.awaitStatus(t, http.StatusOK, partnersHost, "/orders/7", second)
			p.click("button", "Delete")
			p.see("Delete this credential?")
			p.click("button", "Delete")
			p.view("credentials")
			p.gone(first.access)
			s.awaitStatus(t, http.StatusUnauthorized, partnersHost, "/orders/7", second)

			p.visit("#/consumers?q=acme", "consumers")
			p.click("link", "acme-billing")
			p.view("consumer")
			p.click("button", "Delete consumer")
			p.see("Delete acme-billing?")
			p.click("button", "Delete consumer")
			p.view("consumers")
			p.gone("crm-4711")

			s.checkLog(t, first.access, first.secret, second.secret)
		})
	}
}

func (p *tab) createConsumer(username, customID, tags string) {
	p.Helper()
	p.click("button", "New consumer")
	p.fill("Username", username)
	p.fill("Custom id", customID)
	p.fill("Tags", tags)
	p.click("button", "Create")
	p.view("consumer")
}

// createCredential makes a credential of the consumer of the view, and copies its tokens.
func (p *tab) createCredential(username string) pair {
	p.Helper()
	p.click("button", "New credential")
	p.see("New credential of " + username)
	p.click("button", "Create")
	return p.takeSecret()
}

// rotate rotates the secret of the credential of the view, with a grace of an hour.
func (p *tab) rotate(access string) pair {
	p.Helper()
	p.click("button", "Rotate secret")
	p.see("Rotate the secret?", access)
	p.choose("The old secret still works for", "1 hour")
	p.click("button", "Rotate secret")
	return p.takeSecret()
}

// takeSecret copies the secret that a dialog shows this once, and closes the dialog.
func (p *tab) takeSecret() pair {
	p.Helper()
	p.see("this once")
	made := pair{p.value("Access token"), p.value("Secret token")}
	p.click("button", "Copy secret token")
	p.see("Copied")
	if got := eval[string](p, "navigator.clipboard.readText()"); got != made.secret {
		p.Errorf("the clipboard has %q, want the secret", got)
	}
	p.click("button", "Close")
	p.gone("this once")
	return made
}

// checkForgotten expects that a secret is nowhere in the page any more.
func (p *tab) checkForgotten(secret string) {
	p.Helper()
	if eval[bool](p, fmt.Sprintf(`[document.documentElement.outerHTML, ...[...document.querySelectorAll('input, textarea')].map((e) => e.value)].join().includes(%q)`, secret)) {
		p.Error("the secret is in the page after its dialog was closed")
	}
	if strings.Contains(eval[string](p, kept), secret) {
		p.Error("the secret is kept by the browser")
	}
}

func (p *tab) checkForgottenInAddress(made pair) {
	p.Helper()
	if at := eval[string](p, kept); strings.Contains(at, made.secret) || strings.Contains(at, made.access) {
		p.Errorf("a token of the command is in %s", at)
	}
}

// why asks about a request id.
func (p *tab) why(id string) {
	p.Helper()
	p.visit("#/why", "why")
	p.fill("A request id, or a curl command", id)
	p.click("button", "Explain")
	p.view("why")
}

// whyCurl asks about a command.
func (p *tab) whyCurl(host, path string, made pair) {
	p.Helper()
	p.visit("#/overview", "overview")
	p.why(fmt.Sprintf("curl 'http://%s%s' \\\n  -H 'access-token: %s' \\\n  -H \"secret-token: %s\"", host, path, made.access, made.secret))
}

// requestID returns what a denial tells the client.
func requestID(t *testing.T, denial parts.Response) string {
	t.Helper()
	var told struct {
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(denial.Body), &told); err != nil || told.RequestID == "" {
		t.Fatalf("%v: no request_id in %s", err, denial.Body)
	}
	return told.RequestID
}

// checkVaultFails takes Vault away and gives it back.
func (s *site) checkVaultFails(t *testing.T, p *tab) {
	t.Helper()
	p.visit("#/vaults", "vaults")
	test := "Test connection of " + vaultName
	p.click("button", test)
	p.see("Credentials can be read.")
	s.proxy.SetReset(true)
	p.click("button", test)
	p.gone("Credentials can be read.")
	p.see("Reachable no")
	s.proxy.SetReset(false)
	p.await(func(ctx ctx) error { return s.service.Ready(ctx) })
	p.await(func(ctx ctx) error {
		p.click("button", test)
		shown, err := shownText(ctx)
		if err == nil && !strings.Contains(shown, "Credentials can be read.") {
			err = fmt.Errorf("Vault is back, and the page says %s", shown)
		}
		return err
	})
}

// checkLog expects the changes in the audit log, as through the API, and in no log a token.
func (s *site) checkLog(t *testing.T, tokens ...string) {
	t.Helper()
	log := s.service.Log()
	for _, token := range append(tokens, s.writer) {
		if strings.Contains(log, token) {
			t.Error("a token is in the log of vault-authz")
		}
	}
	made := map[string]bool{}
	for line := range strings.SplitSeq(log, "\n") {
		var l struct{ Logger, Outcome, Who, Action, Entity string }
		if json.Unmarshal([]byte(line), &l) == nil && l.Logger == "audit" && l.Outcome == "done" && l.Who == "ops" {
			made[l.Action+" "+l.Entity] = true
		}
	}
	for _, change := range []string{
		"create consumers", "create acls", "create credentials", "rotate credentials", "update credentials", "delete credentials", "delete consumers",
	} {
		if !made[change] {
			t.Errorf("the audit log has no %q by ops", change)
		}
	}
}
