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

// Bounds on the naming of all keys of a mount, which is a single answer however
// many there are: Vault has no pages. A key of 32 characters takes 35 bytes of
// it, so that there is room for 1.9 million of them.
const (
	censusBytes   = 64 << 20
	censusTimeout = 30 * time.Second
)

// answerLimit is the key of a context's value that takes the place of
// Config.MaxResponseBytes for one answer.
type answerLimit struct{}

func isCensus(ctx context.Context) bool { return censusLimit(ctx) > 0 }

// censusLimit is how long the answer to a census may be, in bytes; 0 for what is
// none.
func censusLimit(ctx context.Context) int64 {
	limit, _ := ctx.Value(answerLimit{}).(int64)
	return limit
}

// EachKey implements [Engine]. The keys are read as they arrive and not kept, so
// a large mount costs no memory. A failure is no news of the vault object's
// health, which is about reading: a token that must not list is as good as any
// for that.
func (v *Vault) EachKey(ctx context.Context, each func(key string)) error {
	if problem := v.notCurrent(); problem != nil {
		return problem
	}
	ctx, cancel := context.WithTimeout(ctx, censusTimeout)
	defer cancel()
	if problem := v.census(ctx, each); problem != nil {
		return problem
	}
	return nil
}

func (v *Vault) census(ctx context.Context, each func(key string)) *Error {
	if err := v.session.Ready(ctx); err != nil {
		return problemOf(err)
	}
	asked := context.WithValue(ctx, answerLimit{}, v.censusBytes)
	resp, err := v.client.Logical().ReadRawWithDataWithContext(asked, v.layout.list, url.Values{"list": {"true"}})
	if err == nil && resp != nil && resp.StatusCode == 200 {
		defer func() { _ = resp.Body.Close() }()
		if err = keysIn(resp.Body, each); err == nil {
			return nil
		}
		return v.censusError(ctx, err)
	}
	a, problem := v.ask(asked, func(context.Context) (*api.Response, error) { return resp, err })
	switch {
	case problem != nil && err != nil:
		return v.censusError(ctx, err)
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

// censusError explains why the list of keys is not complete.
func (v *Vault) censusError(ctx context.Context, err error) *Error {
	var malformed errNoList
	switch {
	case errors.Is(err, errTooLarge):
		return fail(StateFailing, 200, "the list of the keys in mount %q is longer than %d bytes; spread the credentials over several mounts", v.cfg.Mount, v.censusBytes)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{
			State: StateUnreachable, cause: context.DeadlineExceeded,
			detail: fmt.Sprintf("the list of the keys in mount %q was not complete within %s; check the server's load, or spread the credentials over several mounts", v.cfg.Mount, censusTimeout),
		}
	case errors.As(err, &malformed):
		return v.notVault(&answer{Answer: login.Answer{Status: 200}})
	}
	return v.transportError(ctx, err)
}

// errNoList says that an answer is not a list of keys. It holds nothing of the
// answer.
type errNoList struct{}

func (errNoList) Error() string { return "not a list of keys" }

// keysIn calls each with every key of an answer to LIST, folders left out, and
// returns nil only if the answer was read to its end and is a list.
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
			return texts(d, each)
		})
	})
	if err == nil {
		// Nothing may follow.
		if _, err = d.Token(); errors.Is(err, io.EOF) && listed {
			return nil
		}
	}
	var syntax *json.SyntaxError
	if err == nil || errors.Is(err, io.EOF) || errors.As(err, &syntax) {
		return errNoList{}
	}
	return err
}

// members calls value for each member of an object, to read what it is.
func members(d *json.Decoder, value func(name string) error) error {
	if err := expect(d, '{'); err != nil {
		return err
	}
	for d.More() {
		token, err := within(d)
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if !ok {
			return errNoList{}
		}
		if err := value(name); err != nil {
			return err
		}
	}
	return expect(d, '}')
}

// texts reads an array of strings.
func texts(d *json.Decoder, each func(string)) error {
	if err := expect(d, '['); err != nil {
		return err
	}
	for d.More() {
		token, err := within(d)
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return errNoList{}
		}
		if !strings.HasSuffix(key, "/") {
			each(key)
		}
	}
	return expect(d, ']')
}

func expect(d *json.Decoder, delimiter json.Delim) error {
	token, err := within(d)
	switch {
	case err != nil:
		return err
	case token != delimiter:
		return errNoList{}
	}
	return nil
}

// within returns the next token of a document that has not ended.
func within(d *json.Decoder) (json.Token, error) {
	token, err := d.Token()
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	return token, err
}
