package app

import (
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/replicas"
	"github.com/vault-authz/vault-authz/internal/version"
)

// latestDenials is how many denials an overview has.
const latestDenials = 20

// overview returns what this replica knows of itself, without asking anybody.
func (s *service) overview() api.Overview {
	state, config := s.stateHealth(), s.configHealth()
	return api.Overview{
		StartedAt:    s.started.Unix(),
		Vaults:       s.vaults.Health(),
		State:        state,
		Config:       config,
		Decisions:    s.history.LastHour(),
		DeniedLatest: s.denials.Latest(latestDenials),
		Replicas:     s.replicas.Snapshot(s.replica(state, config)),
	}
}

// replica returns what this replica tells the others. config is nil without a file.
func (s *service) replica(state api.StateHealth, config *api.ConfigHealth) replicas.Replica {
	r := replicas.Replica{Name: replicaName(), Version: version.Number(), StartedAt: s.started.Unix(), Current: state.Current}
	if config != nil {
		r.ConfigHash, r.ReloadFailed = config.Hash, !config.Success
	}
	return r
}

func (s *service) stateHealth() api.StateHealth {
	h := api.StateHealth{Current: s.reconciler.Ready() == nil && s.current.Open(), Lag: s.store.Lag().Seconds()}
	if problem := s.store.Problem(); problem != nil {
		h.Problem = problem.Error()
	}
	return h
}

// configHealth says which configuration file is in use, nil without a file.
func (s *service) configHealth() *api.ConfigHealth {
	if s.reloader == nil {
		return nil
	}
	return s.reloader.health()
}
