package login

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// A Server carries the requests of a session. It is safe for concurrent use.
type Server interface {
	// Ask calls send, which performs one request, and returns the answer whatever
	// its status. It returns an error only if there was no answer.
	Ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*Answer, error)
	// UseToken is called with each new token, before [Session.Token] returns it. It
	// must not call the session.
	UseToken(token string)
}

// An Answer is what the server answered, whatever its status.
type Answer struct {
	Status int
	// Data, Auth and Errors stay unset if the body is not an answer of Vault's API.
	// Errors is set, and may be empty, if Vault itself refused the request.
	Data   json.RawMessage
	Auth   json.RawMessage
	Errors *[]string
	// Explain returns the error for an answer that says nothing about tokens or
	// logins: the server is sealed or failing, or something else answers in its
	// place. It is called on the answers of [Server.Ask] only.
	Explain func(context.Context) error
}

// Says reports whether one of Vault's error messages contains text, which must be in
// lower case.
func (a *Answer) Says(text string) bool {
	return a.Errors != nil && slices.ContainsFunc(*a.Errors, func(e string) bool {
		return strings.Contains(strings.ToLower(e), text)
	})
}

// PolicyDenies reports whether a 403 comes from the policies of a valid token. Vault
// and OpenBao refuse an invalid token with another text.
func (a *Answer) PolicyDenies() bool {
	return a.Says("1 error occurred") && a.Says("permission denied") && !a.Says(invalidToken)
}

// invalidToken is part of Vault's answer to an invalid token. OpenBao, and Vault
// before 1.10, do not say it.
const invalidToken = "invalid token"

// refuses reports whether Vault itself answered with one of the statuses by which it
// refuses a login.
func (a *Answer) refuses() bool {
	return (a.Status == 400 || a.Status == 403 || a.Status == 404) && a.Errors != nil
}
