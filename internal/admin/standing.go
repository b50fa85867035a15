package admin

import "github.com/vault-authz/vault-authz/authz"

// stateGood is the state of a credential that is let in. Other states are the reasons
// that a check has.
const stateGood = "good"

// A judge says of credentials what a check would say of requests with them.
type judge struct {
	api *API
	// byVault are the judges of the vault objects that one call is about.
	byVault map[string]func(accessToken string, record []byte) authz.Outcome
}

func (a *API) newJudge() *judge {
	return &judge{api: a, byVault: map[string]func(string, []byte) authz.Outcome{}}
}

// view is a credential with its state, as it stands now.
func (j *judge) view(p *place, d document) document {
	view := credentialView(d).with("state", nil)
	view["refused_by"] = nil
	if j.api.deps.Judge == nil {
		return view
	}
	name := p.vault.text("name")
	if j.byVault[name] == nil {
		j.byVault[name] = j.api.deps.Judge(name)
	}
	standing := j.byVault[name](p.key, p.raw)
	view["state"] = standing.Reason.String()
	switch {
	case standing.Reason != authz.ReasonAuthenticated:
	case checkAccessToken(j.api.cfg.Grammar, p.key)+checkSecretToken(j.api.cfg.Grammar, d.text("secret_token")) != "":
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
