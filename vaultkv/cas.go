package vaultkv

import (
	"context"
	"encoding/json"
	"net/http/httptrace"
	"path"
	"sync/atomic"

	"github.com/hashicorp/vault/api"
)

var _ Versioned = (*Vault)(nil)

// casMismatch is how KV v2 answers a write that names another version, with
// status 400.
const casMismatch = "check-and-set parameter did not match"

// ReadVersion implements [Versioned]. The mount must be KV v2.
func (v *Vault) ReadVersion(ctx context.Context, p string) (document []byte, version int, found bool, err error) {
	full, problem := v.versionedPath(v.layout.data, p)
	if problem != nil {
		return nil, 0, false, problem
	}
	err = v.do(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().ReadRawWithContext(ctx, full)
	}, func(a *answer) *Error {
		if a.status == 404 {
			if problem := v.absent(a); problem != nil || len(a.Data) == 0 || string(a.Data) == "null" {
				return problem
			}
		}
		var body struct {
			Data     json.RawMessage
			Metadata *struct{ Version int }
		}
		if json.Unmarshal(a.Data, &body) != nil || body.Metadata == nil || body.Metadata.Version < 1 {
			return v.notVault(a)
		}
		version = body.Metadata.Version
		switch {
		case len(body.Data) == 0, string(body.Data) == "null":
			return nil
		case a.status == 404, body.Data[0] != '{':
			return v.notVault(a)
		}
		document, found = body.Data, true
		return nil
	})
	if err != nil {
		return nil, 0, false, err
	}
	return document, version, found, nil
}

// WriteVersion implements [Versioned]. The mount must be KV v2.
func (v *Vault) WriteVersion(ctx context.Context, p string, document []byte, cas int) (version int, ok bool, err error) {
	full, problem := v.versionedPath(v.layout.data, p)
	if problem != nil {
		return 0, false, problem
	}
	if len(document) == 0 || document[0] != '{' || !json.Valid(document) {
		return 0, false, fail(StateUnknown, 0, "the document is not a JSON object")
	}
	body, err := json.Marshal(casBody{Options: casOptions{cas}, Data: document})
	if err != nil {
		return 0, false, fail(StateUnknown, 0, "the document is not a JSON object")
	}
	var sent atomic.Int32
	a, problem := v.exchange(ctx, func(ctx context.Context) (*api.Response, error) {
		// A refusal of our token, after which this is called again, wrote nothing.
		sent.Store(0)
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { sent.Add(1) },
		})
		return v.client.Logical().WriteRawWithContext(ctx, full, body)
	})
	switch {
	case problem != nil:
	case a.status == 400 && a.errorSays(casMismatch) && sent.Load() > 1:
		// The first try may have been the write that the second collided with.
		problem = fail(StateFailing, a.status, "the server may have done the write and then was asked again; read what is there")
		problem.aside = true
	case a.status == 400 && a.errorSays(casMismatch):
		v.health.set(StateOK, "")
		return 0, false, nil
	default:
		version, problem = v.writtenVersion(ctx, a)
	}
	if problem == nil {
		v.health.set(StateOK, "")
		return version, true, nil
	}
	if !problem.aside {
		v.health.set(problem.State, problem.detail)
	}
	return 0, false, problem
}

// ListUnder implements [Versioned]. The mount must be KV v2. The answer names
// every path and has to fit into Config.MaxResponseBytes.
func (v *Vault) ListUnder(ctx context.Context, folder string) (names []string, err error) {
	full, problem := v.versionedPath(v.layout.metadata, folder)
	if problem != nil {
		return nil, problem
	}
	return v.list(ctx, full)
}

type casBody struct {
	Options casOptions      `json:"options"`
	Data    json.RawMessage `json:"data"`
}

type casOptions struct {
	CAS int `json:"cas"`
}

// exchange sends a request, once more with another token after a 403.
func (v *Vault) exchange(ctx context.Context, send func(context.Context) (*api.Response, error)) (*answer, *Error) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	if problem := v.session.ready(ctx); problem != nil {
		return nil, problem
	}
	token := v.session.current()
	a, problem := v.ask(ctx, send)
	if problem == nil && a.status == 403 && v.session.another(ctx, token, a) {
		a, problem = v.ask(ctx, send)
	}
	return a, problem
}

func (v *Vault) writtenVersion(ctx context.Context, a *answer) (int, *Error) {
	ctx, cancel := context.WithTimeout(ctx, v.cfg.Timeout)
	defer cancel()
	if problem := v.refusal(ctx, a); problem != nil {
		return 0, problem
	}
	if problem := v.written(a); problem != nil {
		return 0, problem
	}
	var data struct{ Version int }
	if json.Unmarshal(a.Data, &data) != nil || data.Version < 1 {
		return 0, v.notVault(a)
	}
	return data.Version, nil
}

// versionedPath is join for paths of several segments.
func (v *Vault) versionedPath(prefix, p string) (string, *Error) {
	full := prefix + p
	switch {
	case !v.layout.v2:
		return "", fail(StateWrongVersion, 0, "the state store needs check-and-set, which KV v1 does not have; give it a mount of KV v2 and set kv: v2")
	case !isMount(p) || full != path.Clean(full):
		return "", fail(StateUnknown, 0, "the path of the entry is not made of plain segments")
	}
	return full, nil
}
