package admin

import (
	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
)

// stateGood is the state of a credential that is let in. Every other state is the reason
// of a check.
const stateGood = "good"

// A judge returns what a check would answer to requests with a credential.
type judge struct {
	api *API
	// byVault has the judges of the vault objects of one call.
	byVault map[string]func(accessToken string, record []byte) authz.Outcome
}

func (a *API) newJudge() *judge {
	return &judge{api: a, byVault: map[string]func(string, []byte) authz.Outcome{}}
}

// view returns a credential with its present state.
func (j *judge) view(p *credential.Place, d schema.Document) schema.Document {
	view := credential.View(d).With("state", nil)
	view["mistake"], view["refused_by"] = nil, nil
	if j.api.deps.Judge == nil {
		return view
	}
	name := p.Vault.Text("name")
	if j.byVault[name] == nil {
		j.byVault[name] = j.api.deps.Judge(name)
	}
	standing := j.byVault[name](p.Key, p.Raw)
	view["state"] = standing.Reason.String()
	switch {
	case standing.Reason != authz.ReasonAuthenticated:
		if standing.Mistake != "" {
			view["mistake"] = standing.Mistake
		}
	case p.Prefix().Mistyped(p.Key):
		view["state"] = authz.ReasonUnknownToken.String()
	case credential.CheckAccessToken(j.api.cfg.Grammar, p.Key)+credential.CheckSecretToken(j.api.cfg.Grammar, d.Text(credential.CurrentSecret)) != "":
		// No request can present it.
		view["state"] = authz.ReasonMalformedToken.String()
	default:
		view["state"], view["refused_by"] = stateGood, orNil(standing.RefusedBy)
	}
	return view
}

func orNil(l []string) any {
	if len(l) == 0 {
		return nil
	}
	return l
}
