// Package strictjson decodes JSON objects by the exact names of their fields and detects
// names that are given twice. encoding/json ignores letter case and takes the last of two
// values; another reader of the same bytes, such as a proxy that checks bodies, may take
// the first.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
)

// The errors of Object. Their texts contain no part of the input.
var (
	ErrNotObject = errors.New("expected a JSON object")
	ErrDuplicate = errors.New("a field is given twice")
)

// Object splits a JSON object into its fields. It does not look into their values.
func Object(raw []byte) (map[string]json.RawMessage, error) {
	list, err := Fields(nil, raw)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]json.RawMessage, len(list))
	for _, f := range list {
		fields[string(f.Name)] = f.Value
	}
	return fields, nil
}

// HasDuplicate reports whether any object in a valid JSON document has a name twice. The
// caller has parsed the document before, which bounds its depth.
func HasDuplicate(raw []byte) bool {
	return hasDuplicate(json.NewDecoder(bytes.NewReader(raw)))
}

// hasDuplicate reads one value.
func hasDuplicate(d *json.Decoder) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	switch token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			name, err := d.Token()
			text, _ := name.(string)
			if err != nil || seen[text] || hasDuplicate(d) {
				return err == nil
			}
			seen[text] = true
		}
	case json.Delim('['):
		for d.More() {
			if hasDuplicate(d) {
				return true
			}
		}
	default:
		return false
	}
	_, _ = d.Token() // the end of it
	return false
}
