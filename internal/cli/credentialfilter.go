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
	state, expiring, unused string
}

func (f *credentialFilter) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.state, "state", "", "only credentials in this `STATE`: one of the above, or active for good and rotating")
	flags.StringVar(&f.expiring, "expiring", "", "only credentials that expire within a `SPAN` like 14d, the first to expire first")
	flags.StringVar(&f.unused, "unused", "", "only credentials that were not used for a `SPAN` like 90d, the longest unused first")
}

// A chosen is an item of a list by its place in the answers.
type chosen struct {
	api.Credential
	item int
}

// choose returns the credentials that the filter lets through, in order.
func (f *credentialFilter) choose(all []api.Credential, now time.Time) ([]chosen, error) {
	expiring, unused, err := f.spans()
	if err != nil {
		return nil, err
	}
	var some []chosen
	for i, c := range all {
		switch {
		case !f.hasState(c):
		case f.expiring != "" && !expiresBy(c, now.Unix(), now.Add(expiring).Unix()):
		case f.unused != "" && !unusedSince(c, now.Add(-unused).Unix()):
		default:
			some = append(some, chosen{c, i})
		}
	}
	switch {
	case f.expiring != "":
		slices.SortStableFunc(some, func(a, b chosen) int { return cmp.Compare(*a.ExpiresAt, *b.ExpiresAt) })
	case f.unused != "":
		slices.SortStableFunc(some, func(a, b chosen) int { return cmp.Compare(unusedFrom(a.Credential), unusedFrom(b.Credential)) })
	}
	return some, nil
}

// spans reads the spans and checks the state.
func (f *credentialFilter) spans() (expiring, unused time.Duration, err error) {
	if err := f.validate(); err != nil {
		return 0, 0, err
	}
	if expiring, err = optionalSpan("expiring", f.expiring); err != nil {
		return 0, 0, err
	}
	unused, err = optionalSpan("unused", f.unused)
	return expiring, unused, err
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

// unusedFrom is from when on a credential is known to be unused: from the latest of its last use,
// its creation, and the beginning of the record. 0 means that nothing is known.
func unusedFrom(c api.Credential) int64 {
	if c.UsesKnownSince == nil {
		return 0
	}
	from := *c.UsesKnownSince
	for _, at := range []*int64{c.LastUsedAt, c.CreatedAt} {
		if at != nil {
			from = max(from, *at)
		}
	}
	return from
}

func unusedSince(c api.Credential, at int64) bool {
	from := unusedFrom(c)
	return from > 0 && from <= at
}

// warning says what a list of unused credentials cannot have yet.
func (f *credentialFilter) warning(all []api.Credential, now time.Time) string {
	_, unused, err := f.spans()
	if f.unused == "" || err != nil || len(all) == 0 {
		return ""
	}
	known := all[0].UsesKnownSince
	switch {
	case known == nil:
		return "when credentials were last used cannot be told, so none is in the list"
	case *known > now.Add(-unused).Unix():
		return "uses are recorded since " + instant(*known) + " only: a credential that was not used since then is not in the list"
	}
	return ""
}

// lastUse says when a credential was last used.
func lastUse(c api.Credential) string {
	switch {
	case c.LastUsedAt != nil:
		return moment(c.LastUsedAt)
	case c.UsesKnownSince != nil:
		return "not since " + instant(unusedFrom(c))
	}
	return ""
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
	return exitError{exitUsage, fmt.Errorf("--state: %q is not a state of a credential; give active, disabled, expired, or another one that credential list --help names", f.state)}
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
