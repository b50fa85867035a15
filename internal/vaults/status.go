package vaults

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
)

// Ready returns an error until the server was reached for the first time.
func (o *Object) Ready() error {
	if o.server == nil || o.server.Ready() {
		return nil
	}
	return fmt.Errorf("not reached yet, state %s", o.server.State())
}

// Condition says in a few words what state the server is in, and whether credentials are read
// from it.
func (o *Object) Condition() (text string, well bool) {
	if o.server == nil {
		return "in memory", true
	}
	state, open := o.server.State(), o.server.Breaker().Open
	text = "state " + state.String()
	if open {
		text += ", circuit breaker open"
	}
	return text + tokenText(o.server.TokenLife()), state == vaultkv.StateOK && !open
}

// tokenText says in a few words how long a Vault token lives, and why it could not be
// renewed.
func tokenText(l login.Life) string {
	text := ""
	switch {
	case l.Method == "agent":
		return ", token added by the agent"
	case l.Forever:
		text = ", token does not end"
	case l.Known:
		text = ", token ends in " + l.Remaining.Round(time.Second).String()
	case l.Method != "token":
		text = ", not logged in"
	}
	if l.Method != "token" {
		text += " (" + l.Method + ")"
	}
	if l.Trouble != "" {
		text += ": " + l.Trouble
	}
	return text
}

// Reports describes the vault objects that are wanted in a line each, by name, open or not.
func (s *Set) Reports(wanted func(*config.Vault) bool) []string {
	var lines []string
	known, open := s.all()
	for _, v := range known {
		if wanted(&v) {
			lines = append(lines, "vault "+v.Name+": "+open[v.Name].report())
		}
	}
	slices.SortFunc(lines, strings.Compare)
	return lines
}

func (o *Object) report() string {
	if o == nil {
		return "not open; the log says why"
	}
	text, well := o.Condition()
	if well {
		return "ok (" + text + ")"
	}
	return text
}

// Health describes all vault objects, open or not: those of the configuration by name, then
// those that were made through the admin API.
func (s *Set) Health() []api.VaultHealth {
	known, open := s.all()
	all := make([]api.VaultHealth, 0, len(known))
	for id, v := range known {
		h := open[v.Name].health()
		h.ID, h.Name, h.Source = id, v.Name, api.SourceAPI
		if v.ID == "" {
			h.Source = api.SourceFile
		}
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b api.VaultHealth) int {
		return cmp.Or(-cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	return all
}

const causeNotOpen = "it is not open; the log says why"

func (o *Object) health() api.VaultHealth {
	if o == nil {
		return api.VaultHealth{Cause: causeNotOpen}
	}
	n := o.cache.soon.Count(time.Now())
	h := api.VaultHealth{Ready: true, Expiring: &api.Expiring{Day: n.Day, Week: n.Week, Month: n.Month, PreviousSecrets: n.ReplacedDay}}
	if o.server == nil {
		return h
	}
	state, open := o.server.State(), o.server.Breaker().Open
	h.Breaker = new(api.BreakerClosed)
	if open {
		h.Breaker = new(api.BreakerOpen)
	}
	h.Ready = state == vaultkv.StateOK && !open
	switch problem := o.server.Problem(); {
	case h.Ready:
	case problem != nil:
		h.Cause = problem.Error()
	case state == vaultkv.StateOK:
		h.Cause = "the last reads brought no answer, so reads fail at once until a probe succeeds"
	default:
		h.Cause = "the server has not answered yet"
	}
	return h
}

// Try tries the connection, once for all callers at a time: it lists the mount, and they may ask as
// often as they like. A nil Object could not be opened.
func (o *Object) Try(ctx context.Context) api.VaultStatus {
	switch {
	case o == nil:
		return api.VaultStatus{CanRead: new(false), Problem: causeNotOpen}
	case o.server == nil:
		return api.VaultStatus{CanRead: new(true), CanList: new(true)}
	}
	shared, _, _ := o.tries.Do("", func() (any, error) { return o.server.Try(context.WithoutCancel(ctx)), nil })
	tried, _ := shared.(vaultkv.Tryout)
	status := api.VaultStatus{
		Reachable: tried.Reachable, Sealed: tried.Sealed, Standby: tried.Standby,
		Authenticated: tried.Authenticated, CanRead: tried.CanRead, CanList: tried.CanList,
	}
	if life := o.server.TokenLife(); life.Known && !life.Forever {
		status.TokenTTL = new(int64(life.Remaining / time.Second))
	}
	if tried.ReadTook != nil {
		status.Latency = new(float64(tried.ReadTook.Microseconds()) / 1000)
	}
	if tried.Problem != nil {
		status.Problem = tried.Problem.Error()
	}
	return status
}
