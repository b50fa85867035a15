package server

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"time"
)

// A Check reports something that readiness depends on. Its error, which is nil when it is
// ready, is visible to every client of the probes and must not contain a secret.
type Check struct {
	Name string
	Func func() error
	// Detail, if it is not nil, says in a few words what a ready check is like now, and
	// whether that is well: readiness stays when something fails later.
	Detail func() (text string, well bool)
	// More, if it is not nil, returns lines about things that readiness does not depend
	// on.
	More func() []string
}

// probes serves /livez, /readyz and the other handlers of the probe listener.
func (s *Server) probes(metrics, debug http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.readyz)
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	if debug != nil {
		mux.Handle("/debug/", debug)
	}
	return mux
}

// readyz answers 200 when every check passes and the server is not draining, and otherwise
// 503. With ?verbose it lists each check.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, verbose := r.URL.Query()["verbose"]
	draining, lines, ready := s.draining.Load(), "", true
	for _, c := range s.checks {
		state := "ok"
		if err := c.Func(); err != nil {
			state, ready = err.Error(), false
		} else if c.Detail != nil {
			text, well := c.Detail()
			if !well {
				state = "not ok now, still ready"
			}
			state += " (" + text + ")"
		}
		lines += fmt.Sprintf("%s: %s\n", c.Name, state)
		if verbose && c.More != nil {
			for _, line := range c.More() {
				lines += line + "\n"
			}
		}
	}
	if draining {
		lines, ready = lines+"draining\n", false
	}
	if !ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	if verbose || !ready {
		fmt.Fprint(w, lines)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *Server) ready() bool {
	for _, c := range s.checks {
		if c.Func() != nil {
			return false
		}
	}
	return !s.draining.Load()
}

// newHTTP returns an HTTP server with limits for clients.
func newHTTP(handler http.Handler, problems io.Writer) *http.Server {
	if problems == nil {
		problems = io.Discard
	}
	return &http.Server{
		Handler:           handler,
		ErrorLog:          log.New(problems, "", 0), //nolint:forbidigo // net/http takes no other, and this one ends in ours
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}
