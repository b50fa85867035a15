// Package memkv is a KV secrets engine in memory: what `vault-authz dev` runs
// on, and the test double of a real one. It forgets everything when the process
// ends.
package memkv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
)

// An Engine keeps one JSON object per key, or per path of several segments, and
// counts the writes of each. It is safe for concurrent use; the zero Engine is
// empty and ready.
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

// Fail makes every operation fail with err, like a store that is down; nil ends
// that. The objects stay.
func (e *Engine) Fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failure = err
}

// Put is Write for set-up code: it works whatever Fail says, and takes documents
// that are no JSON objects.
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
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.err(ctx); err != nil {
		return nil, false, err
	}
	o, found := e.objects[key]
	return bytes.Clone(o.document), found, nil
}

// ReadVersion is Read with the number of writes since the object came to be, 0
// where there is none.
func (e *Engine) ReadVersion(ctx context.Context, path string) (document []byte, version int, found bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.err(ctx); err != nil {
		return nil, 0, false, err
	}
	o, found := e.objects[path]
	return bytes.Clone(o.document), o.version, found, nil
}

// Write puts an object under key, over the one that may be there.
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

// WriteVersion is Write if the object is of version cas, 0 for none; ok says
// whether it was.
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

// List returns the keys in no particular order. Paths of several segments are
// left out.
func (e *Engine) List(ctx context.Context) ([]string, error) { return e.list(ctx, "") }

// EachKey calls each with every key that List returns.
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

// Sync returns nil: what was written is there for everybody.
func (e *Engine) Sync(ctx context.Context) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.err(ctx)
}

// err is why an operation must fail. The caller holds mu.
func (e *Engine) err(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.failure
}
