package vaultkv

import (
	"context"
	"encoding/json"
	"path"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// Answers of KV v2 with status 400: casMismatch to a write that names another version,
// casMissing to a write without a version where one is required.
const (
	casMismatch = "check-and-set parameter did not match"
	casMissing  = "check-and-set parameter required"
)

// ReadVersion returns the object at a path of the mount, which must be KV v2, and its
// version: the number to pass to WriteVersion. If there is no object, found is false;
// the version is greater than 0 after a deletion.
func (v *Vault) ReadVersion(ctx context.Context, p string) (document []byte, version int, found bool, err error) {
	document, version, found, problem := v.readVersion(ctx, p)
	if problem != nil {
		return nil, 0, false, problem
	}
	return document, version, found, nil
}

func (v *Vault) readVersion(ctx context.Context, p string) (document []byte, version int, found bool, problem *Error) {
	full, problem := v.versionedPath(v.layout.data, p)
	if problem != nil {
		return nil, 0, false, problem
	}
	problem = v.perform(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.getter.get(ctx, full, nil)
	}, func(a *answer) *Error {
		if a.Status == 404 {
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
		case a.Status == 404, body.Data[0] != '{':
			return v.notVault(a)
		}
		document, found = body.Data, true
		return nil
	})
	if problem != nil {
		return nil, 0, false, problem
	}
	return document, version, found, nil
}

// WriteVersion writes an object at a path of the mount, which must be KV v2, if its
// version is still cas. If it is not, ok is false.
//
// ok may be false by mistake: the answer may come from a standby with old data, or
// follow a redirect of a standby that had forwarded the write and lost the answer. So
// the caller calls Sync, reads the entry, looks for its own document, and then tries
// again. ok is never true by mistake.
//
// After an error the outcome is unknown: the write may have been done, or may still be
// done within the server's own time limit. The caller proceeds in the same way. A write
// that certainly has not been done (no connection, a sealed server, a node without an
// active one) is first tried at the other addresses.
func (v *Vault) WriteVersion(ctx context.Context, p string, document []byte, cas int) (version int, ok bool, err error) {
	full, problem := v.versionedPath(v.layout.data, p)
	if problem != nil {
		return 0, false, problem
	}
	if len(document) == 0 || document[0] != '{' || !json.Valid(document) {
		return 0, false, fail(StateUnknown, 0, "the document is not a JSON object")
	}
	body, err := json.Marshal(casBody{Options: &casOptions{cas}, Data: document})
	if err != nil {
		return 0, false, fail(StateUnknown, 0, "the document is not a JSON object")
	}
	a, problem := v.exchange(ctx, func(ctx context.Context) (*api.Response, error) {
		return v.client.Logical().WriteRawWithContext(ctx, full, body)
	})
	switch {
	case problem != nil:
	case a.Status == 400 && a.Says(casMismatch):
		v.record(nil)
		return 0, false, nil
	default:
		version, problem = v.writtenVersion(ctx, a)
	}
	v.record(problem)
	if problem != nil {
		return 0, false, problem
	}
	return version, true, nil
}

// ListUnder returns the last segments of the paths directly under a folder of the mount,
// which must be KV v2. The whole answer has to fit into 1 MiB.
func (v *Vault) ListUnder(ctx context.Context, folder string) (names []string, err error) {
	full, problem := v.versionedPath(v.layout.metadata, folder)
	if problem != nil {
		return nil, problem
	}
	return v.list(ctx, full)
}

type casBody struct {
	Options *casOptions     `json:"options,omitempty"`
	Data    json.RawMessage `json:"data"`
}

type casOptions struct {
	CAS int `json:"cas"`
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

// versionedPath is join for paths of several segments in a mount of KV v2.
func (v *Vault) versionedPath(prefix, p string) (string, *Error) {
	full := prefix + p
	switch {
	case !v.layout.v2:
		return "", fail(StateWrongVersion, 0, "the state store needs check-and-set, which KV v1 does not have; give it a mount of KV v2 and set kv: v2")
	case !kvpath.IsPath(p) || full != path.Clean(full):
		return "", fail(StateUnknown, 0, "the path of the entry is not made of plain segments")
	}
	return full, nil
}
