// Package debugging serves what shows a running service from inside: profiles, the
// configuration in effect, and the level of the log.
package debugging

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/loopback"
)

// Options of the handler.
type Options struct {
	// Remote also lets clients of other machines call. The listener must then authenticate
	// all clients.
	Remote bool
	// Config returns the configuration in effect, in YAML and without secrets.
	Config func() ([]byte, error)
	// Level is the level of the log. Audit records its changes.
	Level *logging.Level
	Audit Audit
}

// NewHandler returns the handler of all paths below /debug/.
func NewHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", unhurried(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/trace", unhurried(pprof.Trace))
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/config", func(w http.ResponseWriter, _ *http.Request) {
		shown, err := o.Config()
		if err != nil {
			http.Error(w, "The configuration cannot be shown: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(shown)
	})
	level := levelHandler{o.Level, o.Audit}
	mux.HandleFunc("GET /debug/log-level", level.show)
	mux.HandleFunc("PUT /debug/log-level", level.put)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !o.Remote && !isLocal(r) {
			http.Error(w, "Only clients on this machine may use /debug/ (kubectl port-forward is one), by the name localhost and without a proxy. For others set debug.remote and probes.client_names", http.StatusForbidden)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// isLocal says whether the client is on this machine, and no proxy of others: the sidecar of a
// mesh connects from loopback, too. The name keeps out browsers whose page comes from elsewhere.
func isLocal(r *http.Request) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Envoy-External-Address", "X-Request-Id", "Origin"} {
		if len(r.Header.Values(name)) > 0 {
			return false
		}
	}
	if _, socket := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); socket {
		return true
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	host, _, withoutPort := net.SplitHostPort(r.Host)
	if withoutPort != nil {
		host = r.Host
	}
	return err == nil && loopback.Is(client) && loopback.Is(host)
}

// maxProfile is the longest time that a profile may take.
const maxProfile = 5 * time.Minute

// unhurried lets a profile take longer than the answers of the listener otherwise may.
func unhurried(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if seconds := r.FormValue("seconds"); seconds != "" {
			if d, err := time.ParseDuration(seconds + "s"); err != nil || d <= 0 || d > maxProfile {
				http.Error(w, fmt.Sprintf("seconds must be between 1 and %d", int(maxProfile.Seconds())), http.StatusBadRequest)
				return
			}
		}
		control := http.NewResponseController(w)
		_ = control.SetWriteDeadline(time.Now().Add(maxProfile + time.Minute))
		// Package pprof refuses what takes longer than the timeout of the server.
		next(w, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, nil)))
	}
}
