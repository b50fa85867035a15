package vaultkv

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"
)

// Read implements [Engine]. Its errors are of type *[Error]. A read fails at once while
// the circuit breaker is open, and while the server is not known to be current (see
// [Vault.Sync]).
func (v *Vault) Read(ctx context.Context, key string) (document []byte, found bool, err error) {
	if problem := v.notCurrent(); problem != nil {
		v.record(nil)
		return nil, false, problem
	}
	ok, probe := v.breaker.allow(time.Now())
	if probe {
		ok = v.probe(ctx)
	}
	if !ok {
		return nil, false, v.rejection()
	}
	slow := time.AfterFunc(v.cfg.Timeout/slowPart, func() { v.probeIfDue(ctx) })
	defer slow.Stop()
	document, from, problem := v.read(ctx, key)
	if problem != nil && problem.systemic() && !problem.inconclusive {
		// This read has its answer and does not wait for the probe.
		if v.breaker.failed(time.Now()) {
			go v.probe(context.WithoutCancel(ctx))
		}
	}
	if problem == nil && document == nil {
		document, problem = v.confirmAbsent(ctx, key, from)
	}
	if problem != nil {
		return nil, false, problem
	}
	return document, document != nil, nil
}

// read is Read without the circuit breaker. It also returns the endpoint that answered.
func (v *Vault) read(ctx context.Context, key string) (document []byte, from *endpoint, problem *Error) {
	p, ok := v.layout.object(key)
	if !ok {
		return nil, nil, errKey()
	}
	answered := v.conn.buffers.get()
	defer v.conn.buffers.put(answered)
	problem = v.perform(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.getter.get(ctx, p, answered)
	}, func(a *answer) (problem *Error) {
		from = a.from
		document, problem = v.document(a)
		// The buffer is used again.
		document = bytes.Clone(document)
		return problem
	})
	return document, from, problem
}

// Write implements [Engine].
func (v *Vault) Write(ctx context.Context, key string, document []byte) error {
	p, ok := v.layout.object(key)
	if !ok {
		return errKey()
	}
	body, err := v.layout.body(document)
	if err != nil {
		return err
	}
	return v.do(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().WriteRawWithContext(ctx, p, body)
	}, v.written)
}

// Delete implements [Engine]. On KV v2 it deletes the metadata too, so that a deleted
// credential cannot be undeleted unnoticed.
func (v *Vault) Delete(ctx context.Context, key string) error {
	p, ok := v.layout.whole(key)
	if !ok {
		return errKey()
	}
	return v.do(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().DeleteRawWithContext(ctx, p)
	}, v.written)
}

// list returns the keys directly under a folder, without folders.
func (v *Vault) list(ctx context.Context, folder string) (keys []string, err error) {
	err = v.do(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().ReadRawWithDataWithContext(ctx, folder, url.Values{"list": {"true"}})
	}, func(a *answer) *Error {
		var data struct{ Keys []string }
		switch {
		case a.Status == 404:
			return v.absent(a)
		case json.Unmarshal(a.Data, &data) != nil:
			return v.notVault(a)
		}
		for _, key := range data.Keys {
			if !strings.HasSuffix(key, "/") {
				keys = append(keys, key)
			}
		}
		return nil
	})
	return keys, err
}
