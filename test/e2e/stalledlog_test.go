package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A stallable is a reader of the output of a process that can stop reading, so that the pipe
// fills up.
type stallable struct {
	reading sync.Mutex
	log     parts.Log
}

// Write implements [io.Writer].
func (s *stallable) Write(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.log.Write(b)
}

// lines counts the lines with a text.
func (s *stallable) lines(text string) int { return strings.Count(s.log.String(), text) }

// TestNobodyReadsTheLogForAMinute stalls the standard output of vault-authz, to which all its
// logs go. Decisions go on, log.audit.on_failure decides about changes, and each line is
// written in the end or counted.
func TestNobodyReadsTheLogForAMinute(t *testing.T) {
	t.Parallel()
	for setting, check := range map[string]func(t *testing.T, r *replica){
		"refuse": func(t *testing.T, r *replica) {
			t.Helper()
			got := r.admin(t, 503, "POST", "/consumers", "username=carol")
			if !strings.Contains(got.raw, "Nothing was changed") {
				t.Errorf("got %s", got.raw)
			}
			r.admin(t, 404, "GET", "/consumers/carol")
		},
		"warn": func(t *testing.T, r *replica) {
			t.Helper()
			warning := r.warning(t, "POST", "/consumers", "username=carol")
			if !strings.Contains(warning, "audit") {
				t.Errorf("the answer has the warning %q, want that the audit record is missing", warning)
			}
			r.admin(t, 200, "GET", "/consumers/carol")
		},
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			s := newDeploymentWith(t, 0, setup{entities: "log: {level: info, format: json, allow_sample: 1, audit: {on_failure: " + setting + "}}\nlisten: {grpc: \"127.0.0.1:0\", probes: \"127.0.0.1:0\"}\ndrain: {wait: 0s, timeout: 2s}\n" + nothingButTheState})
			dir, output := filepath.Join(s.dir, "1"), &stallable{}
			must(t, os.Mkdir(dir, 0o700))
			service, err := parts.StartService(t.Context(), parts.ServiceConfig{
				Binary: suite.service.Binary(t), Dir: dir, Output: output,
				Config: strings.NewReplacer("VAULT", "http://"+s.proxy.Address(), "TOKENFILE", s.tokenFile).Replace(s.setup.entities),
			})
			must(t, err)
			r := s.add(t, "replica 1", service)
			t.Cleanup(func() { checkLogs(t, map[string]string{"vault-authz": output.log.String()}) })
			s.createEntities(t, mountV1, parts.KVv1)
			p := s.newPair(t, r)
			decisions := func() int { return decided(t, r.Service) }
			dropped := func() int {
				return metric(t, r.Service, `vault_authz_log_lines_dropped_total{cause="slow",stream="decisions"}`)
			}

			output.reading.Lock()
			stalled := sync.OnceFunc(output.reading.Unlock)
			defer stalled()
			var longest time.Duration
			until := time.Now().Add(time.Minute)
			pace := time.NewTicker(4 * time.Millisecond)
			defer pace.Stop()
			for time.Now().Before(until) || dropped() == 0 {
				for range 250 {
					<-pace.C
					began := time.Now()
					if a, err := r.ask(t.Context(), p); err != nil || !a.Allowed {
						t.Fatalf("a request while the log stalls: %+v, %v", a, err)
					}
					longest = max(longest, time.Since(began))
				}
			}
			check(t, r)
			stalled()

			partstest.Await(t, 30*time.Second, func(context.Context) error {
				if written := output.lines(`"message":"decision"`); written+dropped() != decisions() {
					return fmt.Errorf("%d lines are written and %d counted as dropped, of %d decisions", written, dropped(), decisions())
				}
				return nil
			})
			partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
				if _, err := r.ask(ctx, p); err != nil { // a line after which the loss is told
					return err
				}
				if output.lines(`"message":"lines of the log were lost"`) == 0 {
					return errors.New("no line says how many lines were lost")
				}
				return nil
			})
			r.admin(t, 201, "POST", "/consumers", "username=dave")
			if metric(t, r.Service, `vault_authz_audit_records_total{outcome="failed"}`) == 0 {
				t.Error("no audit record is counted as failed")
			}
			t.Logf("%d decisions, the longest took %s; %d lines were dropped and counted", decisions(), longest, dropped())
		})
	}
}

// decided is how many decisions a service has counted.
func decided(t *testing.T, s *parts.Service) int {
	t.Helper()
	all, err := s.Metrics(t.Context())
	must(t, err)
	n, _ := all.Sum("vault_authz_decisions_total")
	return int(n)
}

// warning makes a call to the admin API that succeeds, and returns the Warning of the answer.
func (r *replica) warning(t *testing.T, method, path string, form ...string) string {
	t.Helper()
	values, err := url.ParseQuery(strings.Join(form, "&"))
	must(t, err)
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.Admin+path, strings.NewReader(values.Encode()))
	must(t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= 300 {
		t.Fatalf("%s %s: status %d", method, path, resp.StatusCode)
	}
	return resp.Header.Get("Warning")
}
