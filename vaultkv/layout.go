package vaultkv

import (
	"encoding/json"
	"errors"
	"path"
)

// layout is where a KV version keeps things below its mount.
type layout struct {
	// data holds the objects, metadata what a deletion for good has to name;
	// both end with a slash.
	data, metadata string
	// list names the keys.
	list string
	v2   bool
	// deep is set where objects lie in folders, as those of the state do.
	deep bool
}

func newLayout(c Config) layout {
	if c.KV == KV2 {
		return layout{data: c.Mount + "/data/", metadata: c.Mount + "/metadata/", list: c.Mount + "/metadata", v2: true}
	}
	return layout{data: c.Mount + "/", metadata: c.Mount + "/", list: c.Mount}
}

func (l layout) object(key string) (string, bool) { return join(l.data, key) }
func (l layout) whole(key string) (string, bool)  { return join(l.metadata, key) }

// join puts a key under a prefix. vault/api cleans paths silently before it
// sends them, which would let one key stand for another; so a path that is not
// clean already is refused.
func join(prefix, key string) (string, bool) {
	p := prefix + key
	return p, isKey(key) && p == path.Clean(p)
}

// body is what a write sends.
func (l layout) body(document []byte) ([]byte, error) {
	if len(document) == 0 || document[0] != '{' || !json.Valid(document) {
		return nil, errors.New("the document is not a JSON object")
	}
	if !l.v2 {
		return document, nil
	}
	return json.Marshal(struct {
		Data json.RawMessage `json:"data"`
	}{document})
}

func errKey() *Error {
	return fail(StateUnknown, 0, "the access token cannot be a key: it is not one plain segment of a path")
}
