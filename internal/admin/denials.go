package admin

import (
	"fmt"
	"net/http"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
)

// denials explains the denials of a request. It goes by the memory of this replica alone, so
// it also answers while no store does.
func (a *API) denials(c *call) (reply, error) {
	found := a.deps.Denials(c.param("request_id"))
	since := found.Since
	if found.Total > 0 {
		return ok(api.Denials{Replica: a.deps.Replica, Since: since.Unix(), Total: found.Total, Data: found.Denials}), nil
	}
	// The id is not repeated: it may be anything.
	return reply{}, &api.Problem{
		Status: http.StatusNotFound,
		Message: fmt.Sprintf("The replica %q remembers no denial of a request with this id; it remembers those since %s. Each replica remembers its own: ask the others, or look into the decision log",
			a.deps.Replica, since.UTC().Format(time.RFC3339)),
		Fields: map[string]any{"replica": a.deps.Replica, "since": since.Unix()},
	}
}
