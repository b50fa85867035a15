package schema

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/internal/api"
)

// CodeViolation is Kong's code for a schema violation (kong/db/errors.lua).
const CodeViolation = 2

// EntityField holds violations of the entity as a whole.
const EntityField = "@entity"

// Violations says what is wrong with which field; a value is a text, a list of
// texts for [EntityField], or violations of a record.
type Violations map[string]any

// Add adds what is wrong with a field, or with one in a record if its name has a dot.
func (v Violations) Add(field, problem string) {
	name, rest, nested := strings.Cut(field, ".")
	switch {
	case field == EntityField:
		texts, _ := v[EntityField].([]string)
		v[EntityField] = append(texts, problem)
	case nested:
		inner, ok := v[name].(Violations)
		if !ok {
			inner = Violations{}
			v[name] = inner
		}
		inner.Add(rest, problem)
	default:
		if _, taken := v[field]; !taken {
			v[field] = problem
		}
	}
}

// Err returns the schema violation, nil if there is none.
func (v Violations) Err() error {
	texts := v.texts("")
	if len(texts) == 0 {
		return nil
	}
	message := fmt.Sprintf("schema violation (%s)", texts[0])
	if len(texts) > 1 {
		message = fmt.Sprintf("%d schema violations (%s)", len(texts), strings.Join(texts, "; "))
	}
	return &api.Problem{Status: http.StatusBadRequest, Code: CodeViolation, Name: "schema violation", Message: message, Fields: v}
}

func (v Violations) texts(prefix string) []string {
	whole, _ := v[EntityField].([]string)
	texts := slices.Clone(whole)
	for _, name := range slices.Sorted(maps.Keys(v)) {
		switch problem := v[name].(type) {
		case string:
			texts = append(texts, prefix+name+": "+problem)
		case Violations:
			texts = append(texts, problem.texts(prefix+name+".")...)
		}
	}
	return texts
}

// AddErrors takes over joined errors of the form "field: problem", which is how
// the core reports the mistakes in an entity. rename gives the field's name
// here.
func (v Violations) AddErrors(err error, rename func(string) string) {
	if err == nil {
		return
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			v.AddErrors(e, rename)
		}
		return
	}
	field, problem, ok := strings.Cut(err.Error(), ": ")
	if !ok {
		field, problem = EntityField, err.Error()
	} else {
		field = rename(field)
	}
	v.Add(field, problem)
}
