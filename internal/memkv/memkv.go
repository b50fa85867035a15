// Package memkv is a KV secrets engine in memory, for `vault-authz dev` and for tests. It
// loses everything at the end of the process.
package memkv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
)

// An Engine stores a JSON object per key, or per path with several segments, and counts the
// writes of each. The zero Engine is empty and ready. It is safe for concurrent use.
type Engine struct {
	mu      sync.RWMutex
	objects map[string]object
	failure error
}

type object struct {
	document []byte
	version  int
}

// New returns an empty Engine.
func New() *Engine { return &Engine{} }

// Fail makes every operation fail with err, like a server that is down. A nil err ends that.
// The objects stay.
func (e *Engine) Fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failure = err
}

// Put writes a document for set-up code: it ignores Fail, and accepts documents that are not
// JSON objects.
func (e *Engine) Put(key string, document []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.put(key, document)
}

func (e *Engine) put(key string, document []byte) {
	if e.objects == nil {
		e.objects = map[string]object{}
	}
	e.objects[key] = object{bytes.Clone(document), e.objects[key].version + 1}
}

// Read returns the object under key, and whether there is one.
func (e *Engine) Read(ctx context.Context, key string) (document []byte, found bool, err error) {
	document, _, found, err = e.ReadVersion(ctx, key)
	return document, found, err
}

// ReadVersion returns the object under key and its version, which is the number of its writes
// and 0 if there is no object.
func (e *Engine) ReadVersion(ctx context.Context, path string) (document []byte, version int, found bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.err(ctx); err != nil {
		return nil, 0, false, err
	}
	o, found := e.objects[path]
	return bytes.Clone(o.document), o.version, found, nil
}

// Write writes an object under key, and replaces an existing one.
func (e *Engine) Write(ctx context.Context, key string, document []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.err(ctx); err != nil {
		return err
	}
	if !isObject(document) {
		return errObject()
	}
	e.put(key, document)
	return nil
}

// WriteVersion writes an object if the version of the existing one is cas, 0 for no object.
// ok says whether it was.
func (e *Engine) WriteVersion(ctx context.Context, path string, document []byte, cas int) (version int, ok bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.err(ctx); err != nil {
		return 0, false, err
	}
	if !isObject(document) {
		return 0, false, errObject()
	}
	if e.objects[path].version != cas {
		return 0, false, nil
	}
	e.put(path, document)
	return cas + 1, true, nil
}

func isObject(document []byte) bool {
	return len(document) > 0 && document[0] == '{' && json.Valid(document)
}

func errObject() error { return errors.New("the document is not a JSON object") }

// Delete removes the object under key, if there is one, and its version.
func (e *Engine) Delete(ctx context.Context, key string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.err(ctx); err != nil {
		return err
	}
	delete(e.objects, key)
	return nil
}

// EachKey calls each with every key, in no particular order, without paths of several segments.
func (e *Engine) EachKey(ctx context.Context, each func(key string)) error {
	keys, err := e.list(ctx, "")
	for _, key := range keys {
		each(key)
	}
	return err
}

// ListUnder returns the last segments of the paths directly under folder.
func (e *Engine) ListUnder(ctx context.Context, folder string) ([]string, error) {
	return e.list(ctx, folder+"/")
}

func (e *Engine) list(ctx context.Context, prefix string) ([]string, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.err(ctx); err != nil {
		return nil, err
	}
	names := make([]string, 0, len(e.objects))
	for key := range e.objects {
		if name, ok := strings.CutPrefix(key, prefix); ok && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names, nil
}

// Sync returns nil: all writes are visible at once.
func (e *Engine) Sync(ctx context.Context) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.err(ctx)
}

// err returns the error of an operation, if any. The caller must hold mu.
func (e *Engine) err(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.failure
}
