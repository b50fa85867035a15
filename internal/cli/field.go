package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// A record is a JSON object whose values stay as they are.
type record map[string]json.RawMessage

var errNoRecord = errors.New("the answer does not come from the admin API of vault-authz; check the URL in --admin")

// item returns the entity in an answer: credentials have an envelope, other entities are the
// answer itself.
func item(body []byte) (record, error) {
	var whole, inner record
	if err := json.Unmarshal(body, &whole); err != nil {
		return nil, errNoRecord
	}
	if data, enveloped := whole["data"]; enveloped && json.Unmarshal(data, &inner) == nil && inner != nil {
		return inner, nil
	}
	return whole, nil
}

// value returns the field of a name with dots as scripts want it: a string without quotes,
// nothing for null, anything else as JSON.
func (r record) value(name string) (string, error) {
	first, rest, nested := strings.Cut(name, ".")
	raw, has := r[first]
	if !has {
		return "", exitError{exitUsage, fmt.Errorf("--field: there is no %q in the answer; there are: %s", first, strings.Join(slices.Sorted(maps.Keys(r)), ", "))}
	}
	if nested {
		var inner record
		if json.Unmarshal(raw, &inner) != nil {
			return "", exitError{exitUsage, fmt.Errorf("--field: %q has no fields", first)}
		}
		if inner == nil {
			return "", nil
		}
		return inner.value(rest)
	}
	var text string
	switch {
	case string(raw) == "null":
		return "", nil
	case json.Unmarshal(raw, &text) == nil:
		return printable(text), nil
	}
	return string(raw), nil
}

// printField prints a field of the last answer. Without such a field it prints the whole
// answer and returns an error: the answer may hold a secret that is not shown again.
func (a *answers) printField(out io.Writer, name string) error {
	if len(a.bodies) == 0 {
		return errNoAnswer
	}
	r, err := item(a.bodies[len(a.bodies)-1])
	if err != nil {
		return err
	}
	value, err := r.value(name)
	if err != nil {
		return errors.Join(a.printLast(out), err)
	}
	_, err = fmt.Fprintln(out, value)
	return err
}

// printFieldOfEach prints a field of each item of a list.
func (a *answers) printFieldOfEach(out io.Writer, name string) error {
	items, err := a.items()
	if err != nil {
		return err
	}
	for _, raw := range items {
		var r record
		if err := json.Unmarshal(raw, &r); err != nil {
			return errNoRecord
		}
		value, err := r.value(name)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, value); err != nil {
			return err
		}
	}
	return nil
}

// withhold removes a field from the entity in the last answer.
func (a *answers) withhold(name string) error {
	if len(a.bodies) == 0 {
		return errNoAnswer
	}
	last := &a.bodies[len(a.bodies)-1]
	var whole, inner record
	if json.Unmarshal(*last, &whole) != nil || json.Unmarshal(whole["data"], &inner) != nil {
		return errNoRecord
	}
	delete(inner, name)
	data, err := encode(inner)
	if err != nil {
		return err
	}
	whole["data"] = data
	*last, err = encode(whole)
	return err
}

func encode(r record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
