package authn

import (
	"fmt"
	"net/http"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A Role says what a caller may do. The zero Role may do nothing.
type Role string

const (
	// RoleRead may read all that the API shows, which holds no secret. It shows the latest
	// denials, with path, host and address of the client.
	RoleRead Role = "read"
	// RoleWrite may change everything too.
	RoleWrite Role = "write"
)

func (r Role) validate() error {
	if r != RoleRead && r != RoleWrite {
		return fmt.Errorf("role: %q is neither read nor write", string(r))
	}
	return nil
}

// Allows reports whether the role allows a call with this method. An unknown method
// counts as a change.
func (r Role) Allows(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return r == RoleRead || r == RoleWrite
	}
	return r == RoleWrite
}

// weaker returns the role that may do less.
func weaker(r, s Role) Role {
	if r == RoleWrite {
		return s
	}
	return r
}

// A Caller is identified by the name of its token, of its certificate, or both.
type Caller struct {
	Name string
	// by says how the caller was identified.
	By   string
	Role Role
}

// Forbidden is Kong's answer to a call that the role of the caller does not allow.
func (c Caller) Forbidden(method string) *api.Problem {
	verb := map[string]string{http.MethodPost: "create", http.MethodDelete: "delete"}[method]
	if verb == "" {
		verb = "update"
	}
	return &api.Problem{Status: http.StatusForbidden, Message: fmt.Sprintf("%s, you do not have permissions to %s this resource; your role is %s", c.Name, verb, c.Role)}
}
