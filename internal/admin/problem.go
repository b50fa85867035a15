package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A kongError is a kind of errors of Kong (kong/db/errors.lua).
type kongError struct {
	code, status int
	name         string
}

var (
	primaryKeyViolation  = kongError{3, http.StatusBadRequest, "primary key violation"}
	foreignKeyViolation  = kongError{4, http.StatusBadRequest, "foreign key violation"}
	uniqueViolation      = kongError{5, http.StatusConflict, "unique constraint violation"}
	invalidOffset        = kongError{7, http.StatusBadRequest, "invalid offset"}
	invalidSize          = kongError{9, http.StatusBadRequest, "invalid size"}
	invalidOptions       = kongError{11, http.StatusBadRequest, "invalid options"}
	unsupportedOperation = kongError{12, http.StatusMethodNotAllowed, "operation unsupported"}
)

func (k kongError) problem(message string, fields map[string]any) *api.Problem {
	return &api.Problem{Status: k.status, Code: k.code, Name: k.name, Message: message, Fields: fields}
}

func notFound() *api.Problem { return &api.Problem{Status: http.StatusNotFound, Message: "Not found"} }

func badRequest(message string) *api.Problem {
	return &api.Problem{Status: http.StatusBadRequest, Message: message}
}

// A constraint is a set of fields whose values no two entities may share, with
// the key that says so to the store.
type constraint struct {
	key    string
	fields map[string]any
}

func (c constraint) err() error {
	return uniqueViolation.problem(fmt.Sprintf("UNIQUE violation detected on '%s'", brace(c.fields)), c.fields)
}

// credentialExists refuses to replace a secret that somebody uses. It does not repeat
// the access token.
func credentialExists() error {
	return uniqueViolation.problem("a credential with this access token exists, and its secret is not replaced by creating it again; use rotate, which keeps the old secret good for a grace", nil)
}

// rotatedAlready refuses to end the grace of the last rotation.
func rotatedAlready(until time.Time, left time.Duration) error {
	return &api.Problem{
		Status: http.StatusConflict,
		Message: fmt.Sprintf("the last rotation keeps the secret before it good for another %s, until %s; a rotation now would end that, and needs force",
			left.Round(time.Second), until.UTC().Format(time.RFC3339)),
		Fields: map[string]any{"previous_expires_at": until.Unix()},
	}
}

func idTaken(id string) error {
	fields := map[string]any{"id": id}
	return primaryKeyViolation.problem(fmt.Sprintf("primary key violation on key '%s'", brace(fields)), fields)
}

func danglingReference(field string, key map[string]any, parent string) error {
	message := fmt.Sprintf("the foreign key '%s' does not reference an existing '%s' entity.", brace(key), parent)
	return foreignKeyViolation.problem(message, map[string]any{field: key})
}

func referencedBy(parent, child string) error {
	message := fmt.Sprintf("an existing '%s' entity references this '%s' entity", child, parent)
	return foreignKeyViolation.problem(message, map[string]any{"@referenced_by": child})
}

func readOnly(verb, kind string) error {
	return unsupportedOperation.problem(fmt.Sprintf("cannot %s '%s' entities that the configuration file declares; change the file", verb, kind), nil)
}

// brace writes fields as Kong's messages do: {name="x"}.
func brace(fields map[string]any) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch value := fields[name].(type) {
		case map[string]any:
			parts = append(parts, name+"="+brace(value))
		default:
			text, _ := json.Marshal(value) // scalars always encode
			parts = append(parts, name+"="+string(text))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}
