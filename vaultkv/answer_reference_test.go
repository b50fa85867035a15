package vaultkv

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A referenceAnswer is an answer as encoding/json decodes it, which ignores letter case and
// takes the last of two fields of one name.
type referenceAnswer struct {
	Data     json.RawMessage `json:"data"`
	Auth     json.RawMessage `json:"auth"`
	Errors   *[]string       `json:"errors"`
	Warnings *[]string       `json:"warnings"`
}

// referenceDocument is the object in the data of a KV v2 mount as encoding/json decodes it.
func referenceDocument(data []byte) (document json.RawMessage, ok bool) {
	var versioned struct {
		Data     json.RawMessage
		Metadata *struct{}
	}
	if json.Unmarshal(data, &versioned) != nil || versioned.Metadata == nil {
		return nil, false
	}
	return versioned.Data, true
}

// loose reports whether an object has a name twice, or one of the given names in another
// letter case. Vault writes neither.
func loose(raw []byte, names ...string) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil || members == nil || topLevelNames(raw) != len(members) {
		return true
	}
	for member := range members {
		if !slices.Contains(names, member) && slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, member) }) {
			return true
		}
	}
	return false
}

// topLevelNames counts the names of a valid JSON object, repeated ones each time.
func topLevelNames(raw []byte) (n int) {
	d := json.NewDecoder(bytes.NewReader(raw))
	_, _ = d.Token()
	for d.More() {
		var value json.RawMessage
		if _, err := d.Token(); err != nil || d.Decode(&value) != nil {
			return -1
		}
		n++
	}
	return n
}

// FuzzAnswerLikeTheReference: an answer is decoded as encoding/json does. What is refused
// although encoding/json takes it has a name twice or in another letter case, or is no object.
func FuzzAnswerLikeTheReference(f *testing.F) {
	for _, seed := range []string{
		`{"request_id":"x","lease_id":"","renewable":false,"data":{"data":{"a":1},"metadata":{"version":1}},"wrap_info":null,"warnings":null,"auth":null}`,
		`{"data":{"access_token":"a","secret_token":"b"},"warnings":["a",null]}`, `{"errors":[]}`, `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`, `{"errors":null,"data":null}`,
		`{"errors":"x"}`, `{"errors":[1]}`, `{"warnings":{}}`, `{"Data":1,"data":2}`, `{"data":1,"data":2}`, `{"auth":{"client_token":"x"}} `, `null`, `[]`, `<html>`, ``,
		`{"data":{"data":null,"metadata":{"deletion_time":"x"}}}`, `{"data":{"data":{},"metadata":null}}`, `{"data":{"Data":{},"metadata":{}}}`, `{"\u0064ata":1}`, `{"data":{"metadata":{},"data": 7 }}`,
	} {
		f.Add([]byte(seed))
	}
	v := &Vault{layout: layout{v2: true}}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want referenceAnswer
		wantErr := json.Unmarshal(body, &want)
		var a answer
		ok := a.decode(body)
		switch {
		case !ok && (a.Data != nil || a.Auth != nil || a.Errors != nil || a.warnings != nil):
			t.Fatalf("decode(%q) refuses the answer and keeps a part of it", body)
		case !ok && wantErr == nil && !loose(body, "data", "auth", "errors", "warnings"):
			t.Fatalf("decode(%q) refuses what encoding/json takes", body)
		case !ok:
			return
		case wantErr != nil:
			// A field in another letter case may be of another type.
			if !loose(body, "data", "auth", "errors", "warnings") {
				t.Fatalf("decode(%q) takes what encoding/json refuses: %v", body, wantErr)
			}
			return
		case loose(body, "data", "auth", "errors", "warnings"):
			return
		}
		if diff := cmp.Diff(want, referenceAnswer{a.Data, a.Auth, a.Errors, a.warnings}); diff != "" {
			t.Fatalf("decode(%q) (-want +got):\n%s", body, diff)
		}
		document, problem := v.document(&a)
		data, versioned := referenceDocument(a.Data)
		isObject := versioned && len(data) > 0 && data[0] == '{'
		switch {
		case a.Data == nil || loose(a.Data, "data", "metadata"):
		case problem == nil && document != nil && (!isObject || string(document) != string(data)),
			problem == nil && document == nil && (!versioned || string(data) != "null"),
			problem != nil && (isObject || versioned && string(data) == "null"):
			t.Fatalf("document(%q) = %q, %v, want %q, %t", body, document, problem, data, versioned)
		}
	})
}
