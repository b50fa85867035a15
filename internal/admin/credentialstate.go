package admin

import (
	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// stateGood is the state of a credential that is let in. Every other state is the reason
// of a check.
const stateGood = "good"

// states returns a function that shows a credential with its present state: what a check
// would answer to requests with it.
func (a *API) states() func(*credential.Place, schema.Document) schema.Document {
	judges := map[string]func(accessToken string, record []byte) authz.Outcome{}
	return func(p *credential.Place, d schema.Document) schema.Document {
		name := p.Vault.Text("name")
		if judges[name] == nil {
			judges[name] = a.deps.Judge(name)
		}
		standing := judges[name](p.Key, p.Raw)
		view := credential.View(d)
		view["state"], view["mistake"], view["refused_by"] = standing.Reason.String(), nil, nil
		switch {
		case standing.Reason != authz.ReasonAuthenticated:
			if standing.Mistake != "" {
				view["mistake"] = standing.Mistake
			}
		case p.Prefix().Mistyped(p.Key):
			view["state"] = authz.ReasonUnknownToken.String()
		case credential.CheckAccessToken(a.cfg.Grammar, p.Key)+credential.CheckSecretToken(a.cfg.Grammar, d.Text(credential.CurrentSecret)) != "":
			// No request can present it.
			view["state"] = authz.ReasonMalformedToken.String()
		default:
			view["state"], view["refused_by"] = stateGood, orNil(standing.RefusedBy)
		}
		return view
	}
}

func orNil(l []string) any {
	if len(l) == 0 {
		return nil
	}
	return l
}
