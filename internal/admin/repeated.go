package admin

import (
	"bytes"
	"encoding/json"
	"errors"
)

// members takes one JSON object apart, by the very names of its fields, none of which
// may be there twice. It leaves what is in them as it is.
func members(raw []byte) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(raw))
	if begin, err := d.Token(); err != nil || begin != json.Delim('{') || !json.Valid(raw) {
		return nil, errors.New("expected a JSON object")
	}
	for d.More() {
		token, err := d.Token()
		name, _ := token.(string)
		if err != nil {
			return nil, errors.New("expected a JSON object")
		}
		if _, twice := all[name]; twice {
			return nil, errors.New("a field is given twice")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("expected a JSON object")
		}
		all[name] = value
	}
	return all, nil
}

// repeatedName says whether an object in a JSON document has a name twice. Which
// of the two counts is up to each reader, and a proxy that checks bodies may take
// the other. raw has been parsed before, which bounds its depth.
func repeatedName(raw []byte) bool {
	d := json.NewDecoder(bytes.NewReader(raw))
	return repeats(d)
}

// repeats reads one value.
func repeats(d *json.Decoder) bool {
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
			if err != nil || seen[text] || repeats(d) {
				return err == nil
			}
			seen[text] = true
		}
	case json.Delim('['):
		for d.More() {
			if repeats(d) {
				return true
			}
		}
	default:
		return false
	}
	_, _ = d.Token() // the end of it
	return false
}
