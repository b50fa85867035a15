package vaultkv

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"
)

// An answer is what the server said, whatever its status.
type answer struct {
	status int

	// What a body that is no JSON object of the right types leaves unset.
	Data     json.RawMessage `json:"data"`
	Errors   *[]string       `json:"errors"`
	Warnings []string        `json:"warnings"`
}

// ask sends one request. Answers of any status are answers; the error is for
// when there was none.
func (v *Vault) ask(ctx context.Context, send func(context.Context) (*api.Response, error)) (*answer, *Error) {
	resp, err := send(ctx)
	if resp == nil || resp.Response == nil {
		return nil, v.transportError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	// vault/api makes an error of each status from 400 on; anything else is
	// about a body that it could not read.
	var status *api.ResponseError
	if err != nil && !errors.As(err, &status) {
		return nil, v.transportError(ctx, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, v.transportError(ctx, err)
	}
	a := &answer{status: resp.StatusCode}
	if json.Unmarshal(body, a) != nil {
		// Nothing of what is not understood as a whole is used.
		return &answer{status: resp.StatusCode}, nil
	}
	return a, nil
}

func (a *answer) errorSays(text string) bool {
	return a.Errors != nil && slices.ContainsFunc(*a.Errors, func(e string) bool {
		return strings.Contains(strings.ToLower(e), text)
	})
}

// refusal explains every status but success and 404.
func (v *Vault) refusal(ctx context.Context, a *answer) *Error {
	switch {
	case a.status == 200, a.status == 204:
		return nil
	case a.status == 404:
		if v.layout.v2 && !v.versionAsked.Load() {
			// It may be what a KV v1 mount answers, whatever it holds.
			v.checkVersion(ctx)
		}
		return nil
	case a.status == 403:
		return v.forbidden(ctx)
	case a.status == 503 && a.errorSays("sealed"):
		return fail(StateSealed, a.status, "the server at %s is sealed; unseal it", v.cfg.Address)
	case a.status >= 300 && a.status < 400:
		return fail(StateFailing, a.status, "the server redirects (%d), which is not followed: the Vault token would go along; set address to the active node or to what balances between the nodes", a.status)
	case a.status == 429:
		return fail(StateLimited, a.status, "the server limits our requests (429); raise its rate limit quota for the mount, or the cache TTL here")
	case a.status == 412:
		return fail(StateFailing, a.status, "the server's node lags behind its cluster (412); this passes by itself")
	case a.status == 472, a.status == 473, a.status == 474:
		return fail(StateFailing, a.status, "the server's node is a standby that does not serve reads (%d); set address to the active node or to what balances between the nodes", a.status)
	case a.status == 501:
		return fail(StateFailing, a.status, "the server at %s is not initialised", v.cfg.Address)
	}
	return fail(StateFailing, a.status, "the server answers with status %d; see its log", a.status)
}

// absent is nil if a 404 says for certain that there is no such object.
func (v *Vault) absent(a *answer) *Error {
	switch {
	case a.Errors == nil && a.Data == nil:
		return v.notVault(a)
	case a.errorSays("no handler for route"):
		return fail(StateNoMount, a.status, "there is no KV engine at mount %q; enable one there, or correct mount (and namespace)", v.cfg.Mount)
	case a.Errors != nil && len(*a.Errors) > 0:
		return fail(StateFailing, a.status, "the server answers 404 with an error; see its log")
	case slices.ContainsFunc(a.Warnings, func(w string) bool { return strings.Contains(w, "versioned K/V") }):
		if v.layout.v2 {
			return fail(StateWrongVersion, a.status, "%q is a folder in a KV v2 mount, not the mount; correct mount", v.cfg.Mount)
		}
		return v.otherVersion(a)
	case v.wrongVersion.Load():
		return v.otherVersion(a)
	case v.layout.v2 && a.Data == nil && !v.versionAsked.Load():
		return fail(StateFailing, a.status, "it is not known yet whether mount %q is KV v2, so \"not found\" may mean anything; see why the server does not say what the mount is", v.cfg.Mount)
	}
	return nil
}

func (v *Vault) otherVersion(a *answer) *Error {
	is, set := KV2, KV1
	if v.layout.v2 {
		is, set = KV1, KV2
	}
	return fail(StateWrongVersion, a.status, "mount %q is KV %s, and the configuration says %s; set kv: %s", v.cfg.Mount, is, set, is)
}

func (v *Vault) notVault(a *answer) *Error {
	return fail(StateFailing, a.status, "what answers at %s (status %d) does not answer like Vault; check address, and what stands in front of the server", v.cfg.Address, a.status)
}

// document returns the object in an answer, nil if there is certainly none.
func (v *Vault) document(a *answer) ([]byte, *Error) {
	if a.status == 404 {
		return nil, v.absent(a)
	}
	data := a.Data
	if v.layout.v2 {
		var versioned struct {
			Data     json.RawMessage
			Metadata *struct{}
		}
		// A v1 mount may hold an object at data/…, which has no metadata.
		if json.Unmarshal(a.Data, &versioned) != nil || versioned.Metadata == nil {
			return nil, v.notVault(a)
		}
		data = versioned.Data
	}
	switch {
	case len(data) > 0 && data[0] == '{':
		return data, nil
	case string(data) == "null":
		return nil, nil
	}
	return nil, v.notVault(a)
}

// written is for operations whose answer has nothing to read.
func (v *Vault) written(a *answer) *Error {
	if a.status == 404 {
		return v.absent(a)
	}
	return nil
}
