package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// denials explains the denials of a request. It goes by the memory of this replica alone, so
// it also answers while no store does.
func (a *API) denials(c *call) (reply, error) {
	var found authz.Found
	if a.deps.Denials != nil {
		found = a.deps.Denials(c.param("request_id"))
	}
	if found.Total == 0 {
		return reply{}, noDenial(a.deps.Replica, found.Since)
	}
	return ok(api.Denials{Replica: a.deps.Replica, Since: found.Since.Unix(), Total: found.Total, Data: found.Denials}), nil
}

// noDenial does not repeat the id: it may be anything.
func noDenial(replica string, since time.Time) error {
	return &api.Problem{
		Status: http.StatusNotFound,
		Message: fmt.Sprintf("The replica %q remembers no denial of a request with this id; it remembers those since %s. Each replica remembers its own: ask the others, or look into the decision log",
			replica, since.UTC().Format(time.RFC3339)),
		Fields: map[string]any{"replica": replica, "since": since.Unix()},
	}
}
