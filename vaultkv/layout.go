package vaultkv

import (
	"encoding/json"
	"errors"
	"path"

	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// A layout holds the paths of a KV version below its mount, and below the prefix if one is
// configured.
type layout struct {
	// data is the folder of the objects, metadata the folder of the paths that a permanent
	// deletion names. Both end with a slash.
	data, metadata string
	// destroy is the folder of the paths that destroy versions, which only KV v2 has.
	destroy string
	// list is the path that lists the keys.
	list string
	v2   bool
	// deep is set if objects lie in folders, as those of the state do.
	deep bool
}

func newLayout(c Config) layout {
	folder := ""
	if c.Prefix != "" {
		folder = "/" + c.Prefix
	}
	if c.KV == KV2 {
		data, metadata := c.Mount+"/data"+folder, c.Mount+"/metadata"+folder
		return layout{data: data + "/", metadata: metadata + "/", destroy: c.Mount + "/destroy" + folder + "/", list: metadata, v2: true}
	}
	all := c.Mount + folder
	return layout{data: all + "/", metadata: all + "/", list: all}
}

func (l layout) object(key string) (string, bool) { return join(l.data, key) }
func (l layout) whole(key string) (string, bool)  { return join(l.metadata, key) }

// join puts a key under a prefix. vault/api cleans paths silently before it sends them,
// which could let one key stand for another; so a path that cleaning would change is
// refused.
func join(prefix, key string) (string, bool) {
	p := prefix + key
	return p, kvpath.IsSegment(key) && p == path.Clean(p)
}

// body is the request body of a write.
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
