package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
)

// stateActive is what people call a credential that a check lets in.
const stateActive = "active"

// A credentialFilter says which credentials a list has, and in which order.
type credentialFilter struct {
	state, expiring string
}

func (f *credentialFilter) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.state, "state", "", "only credentials in this `STATE`: one of the above, or active for good and rotating")
	flags.StringVar(&f.expiring, "expiring", "", "only credentials that expire within a `SPAN` like 14d, the first to expire first")
}

// A chosen is an item of a list by its place in the answers.
type chosen struct {
	api.Credential
	item int
}

// choose returns the credentials that the filter lets through, in order.
func (f *credentialFilter) choose(all []api.Credential, now time.Time) ([]chosen, error) {
	if err := f.validate(); err != nil {
		return nil, err
	}
	expiring, err := optionalSpan("expiring", f.expiring)
	if err != nil {
		return nil, err
	}
	var some []chosen
	for i, c := range all {
		switch {
		case !f.hasState(c):
		case f.expiring != "" && !expiresBy(c, now.Unix(), now.Add(expiring).Unix()):
		default:
			some = append(some, chosen{c, i})
		}
	}
	if f.expiring != "" {
		slices.SortStableFunc(some, func(a, b chosen) int { return cmp.Compare(*a.ExpiresAt, *b.ExpiresAt) })
	}
	return some, nil
}

func optionalSpan(flag, value string) (time.Duration, error) {
	if value == "" {
		return 0, nil
	}
	d, err := span(value)
	if err != nil {
		return 0, exitError{exitUsage, fmt.Errorf("--%s: %q is not a span like 14d or 36h", flag, value)}
	}
	return d, nil
}

// keep keeps these items of the answers only, in this order.
func (a *answers) keep(some []chosen) error {
	items, err := a.items()
	if err != nil {
		return err
	}
	p := page{Data: make([]json.RawMessage, len(some))}
	for i, c := range some {
		p.Data[i] = items[c.item]
	}
	body, err := json.Marshal(p)
	a.bodies = [][]byte{body}
	return err
}

func (f *credentialFilter) validate() error {
	if f.state == "" || f.state == stateActive || f.state == stateGood || f.state == stateRotating {
		return nil
	}
	for _, r := range authz.Reasons() {
		if r.Status() != 0 && r.String() == f.state {
			return nil
		}
	}
	return exitError{exitUsage, fmt.Errorf("--state: %q is no state of a credential; give active, disabled, expired or another one of credential list --help", f.state)}
}

func (f *credentialFilter) hasState(c api.Credential) bool {
	switch f.state {
	case "":
		return true
	case stateActive:
		return c.State == stateGood
	case stateGood, stateRotating:
		return stateWord(c) == f.state
	}
	return c.State == f.state
}

// expiresBy says whether a credential expires after now and until a time.
func expiresBy(c api.Credential, now, until int64) bool {
	return c.ExpiresAt != nil && *c.ExpiresAt > now && *c.ExpiresAt <= until
}
