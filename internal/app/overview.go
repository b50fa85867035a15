package app

import (
	"cmp"
	"slices"
	"time"

	"github.com/vault-authz/vault-authz/internal/admin"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/replicas"
	"github.com/vault-authz/vault-authz/internal/state"
	"github.com/vault-authz/vault-authz/internal/version"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// latestDenials is how many denials an overview has.
const latestDenials = 20

// overview returns what this replica knows of itself, without asking anybody.
func (s *service) overview() api.Overview {
	o := api.Overview{
		StartedAt:    s.started.Unix(),
		Vaults:       s.reconciler.health(),
		State:        s.stateHealth(),
		Decisions:    s.history.LastHour(),
		DeniedLatest: s.denials.Latest(latestDenials),
		Replicas:     s.replicas.Snapshot(),
	}
	if s.reloader != nil {
		o.Config = s.reloader.health()
	}
	return o
}

// replica returns what this replica tells the others.
func (s *service) replica() replicas.Replica {
	r := replicas.Replica{Name: replicaName(), Version: version.Number(), StartedAt: s.started.Unix(), Current: s.stateHealth().Current}
	if s.reloader != nil {
		s.reloader.tell(&r)
	}
	return r
}

// tell says which configuration file is in use.
func (r *reloader) tell(of *replicas.Replica) {
	config := r.health()
	of.ConfigHash, of.ReloadFailed = config.Hash, !config.Success
}

func (s *service) stateHealth() api.StateHealth {
	h := api.StateHealth{Current: s.reconciler.notReady() == nil && s.current.isCurrent(), Lag: s.store.Lag().Seconds()}
	if problem := s.store.Problem(); problem != nil {
		h.Problem = problem.Error()
	}
	return h
}

// health describes the vault objects that decisions go by: those of the configuration, by
// name, and those that were made through the admin API.
func (r *reconciler) health() []api.VaultHealth {
	declared := map[string]bool{}
	all := []api.VaultHealth{}
	for _, v := range r.declaration.Load().config.Vaults {
		declared[v.Name] = true
		all = append(all, r.backends.health(v.Name, admin.DeclaredID(state.KindVaults, v.Name), api.SourceFile))
	}
	r.opening.Lock()
	stored := map[string]string{}
	for id, v := range r.vaults {
		if !declared[v.name] {
			stored[id] = v.name
		}
	}
	r.opening.Unlock()
	for id, name := range stored {
		all = append(all, r.backends.health(name, id, api.SourceAPI))
	}
	slices.SortFunc(all, func(a, b api.VaultHealth) int {
		return cmp.Or(-cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	return all
}

const causeNotOpen = "it is not open; the log says why"

// health describes a vault object, open or not.
func (bs *vaultBackends) health(name, id, source string) api.VaultHealth {
	h := api.VaultHealth{ID: id, Name: name, Source: source}
	b := bs.named(name)
	if b == nil {
		h.Cause = causeNotOpen
		return h
	}
	n := b.cache.soon.Count(time.Now())
	h.Expiring = &api.Expiring{Day: n.Day, Week: n.Week, Month: n.Month, PreviousSecrets: n.ReplacedDay}
	w, hasServer := b.engine.(vaultStatus)
	if !hasServer {
		h.Ready = true
		return h
	}
	open := w.Breaker().Open
	h.Breaker = new(api.BreakerClosed)
	if open {
		h.Breaker = new(api.BreakerOpen)
	}
	h.Ready = w.State() == vaultkv.StateOK && !open
	switch problem := w.Problem(); {
	case h.Ready:
	case problem != nil:
		h.Cause = problem.Error()
	case w.State() == vaultkv.StateOK:
		h.Cause = "the last reads brought no answer, so reads fail at once until a probe succeeds"
	default:
		h.Cause = "the server has not answered yet"
	}
	return h
}

// health says which configuration file is in use.
func (r *reloader) health() *api.ConfigHealth {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &api.ConfigHealth{LoadedAt: r.at.Unix(), Hash: r.hash, Success: r.problem == "", Error: r.problem}
}
