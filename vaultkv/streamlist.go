package vaultkv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// Bounds on a list of all keys of a mount. It is a single answer, however many keys
// there are: Vault has no pages. A key of 32 characters takes 35 bytes, so that there
// is room for 1.9 million of them.
const (
	maxListBytes = 64 << 20
	listTimeout  = 30 * time.Second
)

// streamKey is the context key of a request whose answer is read as it arrives. Its
// value is the longest such answer, in bytes, as int64.
type streamKey struct{}

// streamLimit returns that value, 0 for a request whose answer is read at once.
func streamLimit(ctx context.Context) int64 {
	limit, _ := ctx.Value(streamKey{}).(int64)
	return limit
}

// EachKey implements [Engine]. It leaves out folders: an access token has no slash. The
// keys are read as they arrive and not kept, so that a large mount costs no memory. A
// failure does not change the state of the vault object, which is about reading: a token
// without the capability to list can still read.
func (v *Vault) EachKey(ctx context.Context, each func(key string)) error {
	if problem := v.notCurrent(); problem != nil {
		return problem
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	if problem := v.streamKeys(ctx, each); problem != nil {
		return problem
	}
	return nil
}

func (v *Vault) streamKeys(ctx context.Context, each func(key string)) *Error {
	if err := v.session.Ready(ctx); err != nil {
		return problemOf(err)
	}
	asked := context.WithValue(ctx, streamKey{}, v.listBytes)
	resp, err := v.client.Logical().ReadRawWithDataWithContext(asked, v.layout.list, url.Values{"list": {"true"}})
	if err == nil && resp != nil && resp.StatusCode == 200 {
		defer func() { _ = resp.Body.Close() }()
		if err = keysIn(resp.Body, each); err == nil {
			return nil
		}
		return v.listError(ctx, err)
	}
	a, problem := v.ask(asked, func(context.Context) (*api.Response, error) { return resp, err })
	switch {
	case problem != nil && err != nil:
		return v.listError(ctx, err)
	case problem != nil:
		return problem
	}
	problem = v.refusal(ctx, a)
	switch {
	case problem != nil:
		return problem
	case a.Status == 404:
		// An empty mount has no list.
		return v.absent(a)
	}
	return v.notVault(a)
}

// listError explains why the list of keys is not complete.
func (v *Vault) listError(ctx context.Context, err error) *Error {
	var malformed errNotKeyList
	switch {
	case errors.Is(err, errTooLarge):
		return fail(StateFailing, 200, "the list of the keys in mount %q is longer than %d bytes; spread the credentials over several mounts", v.cfg.Mount, v.listBytes)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{
			State: StateUnreachable, cause: context.DeadlineExceeded,
			detail: fmt.Sprintf("the list of the keys in mount %q was not complete within %s; check the server's load, or spread the credentials over several mounts", v.cfg.Mount, listTimeout),
		}
	case errors.As(err, &malformed):
		return v.notVault(&answer{Answer: login.Answer{Status: 200}})
	}
	return v.transportError(ctx, err)
}

// An errNotKeyList says that an answer is not a list of keys. It contains no part of
// the answer.
type errNotKeyList struct{}

func (errNotKeyList) Error() string { return "not a list of keys" }

// keysIn calls each with every key in an answer to LIST, except folders. It returns nil
// only if the answer was read to its end and is a list.
func keysIn(body io.Reader, each func(key string)) error {
	d := json.NewDecoder(body)
	listed := false
	err := members(d, func(name string) error {
		if name != "data" {
			return d.Decode(&json.RawMessage{})
		}
		return members(d, func(name string) error {
			if name != "keys" {
				return d.Decode(&json.RawMessage{})
			}
			listed = true
			return keyArray(d, each)
		})
	})
	if err == nil {
		// There must be no more after the object.
		if _, err = d.Token(); errors.Is(err, io.EOF) && listed {
			return nil
		}
	}
	var syntax *json.SyntaxError
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &syntax) {
		return errNotKeyList{}
	}
	return err
}

// members calls value for each member of an object. value has to read the value.
func members(d *json.Decoder, value func(name string) error) error {
	if err := expect(d, '{'); err != nil {
		return err
	}
	for d.More() {
		token, err := nextToken(d)
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return errNotKeyList{}
		}
		if err := value(name); err != nil {
			return err
		}
	}
	return expect(d, '}')
}

// keyArray reads an array of strings and calls each with those that are keys.
func keyArray(d *json.Decoder, each func(string)) error {
	if err := expect(d, '['); err != nil {
		return err
	}
	for d.More() {
		token, err := nextToken(d)
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return errNotKeyList{}
		}
		if !strings.HasSuffix(key, "/") {
			each(key)
		}
	}
	return expect(d, ']')
}

func expect(d *json.Decoder, delimiter json.Delim) error {
	token, err := nextToken(d)
	switch {
	case err != nil:
		return err
	case token != delimiter:
		return errNotKeyList{}
	}
	return nil
}

// nextToken returns the next token, and an error at the end of the document.
func nextToken(d *json.Decoder) (json.Token, error) {
	token, err := d.Token()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	return token, err
}
