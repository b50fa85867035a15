package admin

import (
	"context"
	"time"
)

// A Node is what Kong's scripts ask a node about itself.
type Node struct {
	Version string      `json:"version"`
	Tagline string      `json:"tagline"`
	Plugins NodePlugins `json:"plugins"`
}

// NodePlugins are the plugins that there are.
type NodePlugins struct {
	Available map[string]bool `json:"available_on_server"`
}

// Status is the part of Kong's status that there is something to say about.
type Status struct {
	Database Database `json:"database"`
}

// Database says whether the state can be read.
type Database struct {
	Reachable bool `json:"reachable"`
}

func (a *API) node(*call) (reply, error) {
	return ok(Node{
		Version: a.deps.Version, Tagline: "vault-authz: Kong's vault-auth for Envoy",
		Plugins: NodePlugins{map[string]bool{pluginVaultAuth: true, pluginACL: true}},
	}), nil
}

// statusTimeout bounds the look at the state: whoever asks wants an answer.
const statusTimeout = 2 * time.Second

// status is 200 whatever it says, as in Kong. Readiness is elsewhere (/readyz on
// the probes' listener).
func (a *API) status(c *call) (reply, error) {
	ctx, cancel := context.WithTimeout(c.ctx, statusTimeout)
	defer cancel()
	return ok(Status{Database{Reachable: a.deps.Store.Refresh(ctx) == nil}}), nil
}
