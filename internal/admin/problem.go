package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// Kong's error codes (kong/db/errors.lua).
const (
	codePrimaryKey  = 3
	codeForeignKey  = 4
	codeUnique      = 5
	codeOffset      = 7
	codeSize        = 9
	codeOptions     = 11
	codeUnsupported = 12
)

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
	return &api.Problem{
		Status: http.StatusConflict, Code: codeUnique, Name: "unique constraint violation",
		Message: fmt.Sprintf("UNIQUE violation detected on '%s'", brace(c.fields)), Fields: c.fields,
	}
}

// tied refuses policies that tie.
func tied(tie *authz.Tie) error {
	return &api.Problem{Status: http.StatusConflict, Code: codeUnique, Name: "unique constraint violation", Message: tie.Error()}
}

// credentialExists refuses to replace a secret that somebody uses. It does not repeat
// the access token.
func credentialExists() error {
	return &api.Problem{
		Status: http.StatusConflict, Code: codeUnique, Name: "unique constraint violation",
		Message: "a credential with this access token exists, and its secret is not replaced by creating it again; use rotate, which keeps the old secret good for a grace",
	}
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
	return &api.Problem{
		Status: http.StatusBadRequest, Code: codePrimaryKey, Name: "primary key violation",
		Message: fmt.Sprintf("primary key violation on key '%s'", brace(fields)), Fields: fields,
	}
}

func danglingReference(field string, key map[string]any, parent string) error {
	return &api.Problem{
		Status: http.StatusBadRequest, Code: codeForeignKey, Name: "foreign key violation",
		Message: fmt.Sprintf("the foreign key '%s' does not reference an existing '%s' entity.", brace(key), parent),
		Fields:  map[string]any{field: key},
	}
}

func referencedBy(parent, child string) error {
	return &api.Problem{
		Status: http.StatusBadRequest, Code: codeForeignKey, Name: "foreign key violation",
		Message: fmt.Sprintf("an existing '%s' entity references this '%s' entity", child, parent),
		Fields:  map[string]any{"@referenced_by": child},
	}
}

func readOnly(verb, kind string) error {
	return &api.Problem{
		Status: http.StatusMethodNotAllowed, Code: codeUnsupported, Name: "operation unsupported",
		Message: fmt.Sprintf("cannot %s '%s' entities that the configuration file declares; change the file", verb, kind),
	}
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
