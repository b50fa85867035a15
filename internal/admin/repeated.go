package admin

import (
	"bytes"
	"encoding/json"
)

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
