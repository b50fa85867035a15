// Package memkv is a KV secrets engine in memory: what `vault-authz dev` runs
// on, and the test double of a real one. It forgets everything when the process
// ends.
package memkv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
)

// An Engine keeps one JSON object per key. It is safe for concurrent use; the
// zero Engine is empty and ready.
type Engine struct {
	mu      sync.RWMutex
	objects map[string][]byte
	failure error
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
		e.objects = map[string][]byte{}
	}
	e.objects[key] = bytes.Clone(document)
}

// Read returns the object under key, and whether there is one.
func (e *Engine) Read(ctx context.Context, key string) (document []byte, found bool, err error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.err(ctx); err != nil {
		return nil, false, err
	}
	document, found = e.objects[key]
	return bytes.Clone(document), found, nil
}

// Write puts an object under key, over the one that may be there.
func (e *Engine) Write(ctx context.Context, key string, document []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.err(ctx); err != nil {
		return err
	}
	if len(document) == 0 || document[0] != '{' || !json.Valid(document) {
		return errors.New("the document is not a JSON object")
	}
	e.put(key, document)
	return nil
}

// Delete removes the object under key, if there is one.
func (e *Engine) Delete(ctx context.Context, key string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.err(ctx); err != nil {
		return err
	}
	delete(e.objects, key)
	return nil
}

// List returns the keys in no particular order.
func (e *Engine) List(ctx context.Context) ([]string, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.err(ctx); err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(e.objects))
	for key := range e.objects {
		keys = append(keys, key)
	}
	return keys, nil
}

// err is why an operation must fail. The caller holds mu.
func (e *Engine) err(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return e.failure
}
