package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/body"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/entities"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

const (
	typeJSON      = body.TypeJSON
	typeForm      = body.TypeForm
	typeMultipart = body.TypeMultipart
)

// fakeStore is a Store in memory that keeps to the contract.
type fakeStore struct {
	mu      sync.Mutex
	records map[string]state.Record
	// err, if set, is the answer to everything; failWrites only to writes, once
	// they are done if applied is set.
	err, failWrites error
	applied         bool
	// between runs before the next write, for what somebody else does.
	between func()
}

func newFakeStore() *fakeStore { return &fakeStore{records: map[string]state.Record{}} }

func (s *fakeStore) Create(_ context.Context, r state.Record, check func(*state.View) error) (int, error) {
	return s.write(r, check, func(_ state.Record, exists bool) (int, error) {
		if exists {
			return 0, state.ErrConflict
		}
		return 1, nil
	})
}

func (s *fakeStore) Replace(_ context.Context, r state.Record, check func(*state.View) error) (int, error) {
	return s.write(r, check, func(old state.Record, exists bool) (int, error) {
		switch {
		case !exists:
			return 0, authz.ErrNotFound
		case old.Version != r.Version:
			return 0, state.ErrConflict
		}
		return old.Version + 1, nil
	})
}

func (s *fakeStore) write(r state.Record, check func(*state.View) error, next func(state.Record, bool) (int, error)) (int, error) {
	if f := s.between; f != nil {
		s.between = nil
		f()
	}
	if check != nil {
		if err := check(s.view()); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	if s.failWrites != nil && !s.applied {
		return 0, s.failWrites
	}
	old, exists := s.records[r.Kind+"/"+r.ID]
	version, err := next(old, exists)
	if err != nil {
		return 0, fmt.Errorf("record: %w", err)
	}
	for _, o := range s.records {
		for _, key := range r.Unique {
			if o.Kind == r.Kind && o.ID != r.ID && slices.Contains(o.Unique, key) {
				return 0, state.TakenError{Key: key}
			}
		}
	}
	r.Version = version
	s.records[r.Kind+"/"+r.ID] = r
	return version, s.failWrites
}

func (s *fakeStore) Delete(_ context.Context, kind, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.failWrites != nil && !s.applied {
		return s.failWrites
	}
	delete(s.records, kind+"/"+id)
	return s.failWrites
}

func (s *fakeStore) Refresh(context.Context) error { return s.failure() }

func (s *fakeStore) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *fakeStore) View() (*state.View, error) {
	if err := s.failure(); err != nil {
		return nil, err
	}
	return s.view(), nil
}

// view is what View returns, whatever fails.
func (s *fakeStore) view() *state.View { return state.NewView(s.all()) }

func (s *fakeStore) all() []state.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.records))
}

// fakeKV is the credentials of one vault object.
type fakeKV struct {
	mu        sync.Mutex
	documents map[string][]byte
	err       error
	// failWrites is what writes fail with, slow how long they take.
	failWrites error
	slow       time.Duration
	// listed are the keys if it is set: deleted ones among others.
	listed []string
	// log gets what is done, in the order of it being done.
	log *order
}

func (k *fakeKV) Read(_ context.Context, key string) ([]byte, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d, found := k.documents[key]
	return d, found, k.err
}

func (k *fakeKV) Write(_ context.Context, key string, document []byte) error {
	time.Sleep(k.slow)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.failWrites != nil {
		return k.failWrites
	}
	if k.err == nil {
		k.log.add("write")
		k.documents[key] = bytes.Clone(document)
	}
	return k.err
}

func (k *fakeKV) Delete(_ context.Context, key string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		k.log.add("delete")
		delete(k.documents, key)
	}
	return k.err
}

func (k *fakeKV) EachKey(_ context.Context, each func(string)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys := k.listed
	if keys == nil {
		keys = slices.Collect(maps.Keys(k.documents))
	}
	for _, key := range keys {
		each(key)
	}
	return k.err
}

// order is what happened, in order.
type order struct {
	mu     sync.Mutex
	events []string
	// applied is what Applied answers, refuse what Announce does instead of committing.
	applied, refuse error
}

func (o *order) add(event string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, event)
}

func (o *order) Announce(ctx context.Context, commit func(context.Context) error, changes ...state.Change) error {
	for _, c := range changes {
		o.add("announce " + c.Kind)
	}
	if o.refuse != nil {
		return o.refuse
	}
	return commit(ctx)
}

func (o *order) Applied(changes ...state.Change) error {
	for _, c := range changes {
		o.add("applied " + c.Kind)
	}
	if len(changes) == 0 {
		o.add("applied the rest")
	}
	return o.applied
}

// fakeLeases are the leases of a replica that is alone. The zero value works.
type fakeLeases struct {
	// err, if set, is the answer; lose is how many leases are lost before their
	// writes.
	err  error
	lose int
}

func (f *fakeLeases) LeaseCredential(_ context.Context, _ string, do func(func(context.Context, func(context.Context) error) error) error) error {
	if f.err != nil {
		return f.err
	}
	return do(func(ctx context.Context, write func(context.Context) error) error {
		if f.lose > 0 {
			f.lose--
			return fmt.Errorf("the lease: %w", state.ErrConflict)
		}
		return write(ctx)
	})
}

// fakeAudit keeps what is written.
type fakeAudit struct {
	log   *zap.Logger
	order *order
	// fail, if set, says of an outcome whether its line cannot be written.
	fail func(outcome string) bool
}

var errDiskFull = errors.New("no space left on device")

func (f *fakeAudit) Write(_ context.Context, level zapcore.Level, message string, fields ...zap.Field) error {
	outcome := ""
	for _, field := range fields {
		if field.Key == "outcome" {
			outcome = field.String
		}
	}
	if f.fail != nil && f.fail(outcome) {
		return errDiskFull
	}
	if outcome == outcomeIntended {
		f.order.add("intended")
	}
	f.log.Log(level, message, fields...)
	return nil
}

// ended are the lines of the audit log that say how a change came out.
func (b *bench) ended() (lines []observer.LoggedEntry) {
	for _, line := range b.audit.All() {
		if line.ContextMap()["outcome"] != outcomeIntended {
			lines = append(lines, line)
		}
	}
	return lines
}

// bench is an API on fakes, called without a network.
type bench struct {
	testing.TB
	api      *API
	store    *fakeStore
	kv       map[string]*fakeKV
	mu       sync.Mutex
	order    *order
	log      *observer.ObservedLogs
	audit    *observer.ObservedLogs
	auditor  *fakeAudit
	registry *prometheus.Registry
	headers  map[string]string
	vaultErr error
	// invalid is what Validate answers, vaultStatus what a try answers about triedVault.
	invalid     error
	vaultStatus api.VaultStatus
	triedVault  string
}

func (b *bench) Validate(entities.VaultObject) error { return b.invalid }

func (b *bench) tryVault(_ context.Context, vaultID string, version int) (api.VaultStatus, error) {
	b.triedVault = fmt.Sprintf("%s %d", vaultID, version)
	return b.vaultStatus, b.vaultErr
}

func (b *bench) Credentials(_ context.Context, vaultID string, _ int) (credential.Store, error) {
	if b.vaultErr != nil {
		return nil, b.vaultErr
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kv[vaultID] == nil {
		b.kv[vaultID] = &fakeKV{documents: map[string][]byte{}, log: b.order}
	}
	return b.kv[vaultID], nil
}

type option func(*Config, *Dependencies)

func newBench(tb testing.TB, options ...option) *bench {
	tb.Helper()
	b := &bench{TB: tb, store: newFakeStore(), kv: map[string]*fakeKV{}, order: &order{}, registry: prometheus.NewRegistry(), headers: map[string]string{}}
	logCore, log := observer.New(zapcore.DebugLevel)
	auditCore, audit := observer.New(zapcore.DebugLevel)
	b.log, b.audit = log, audit
	b.auditor = &fakeAudit{log: zap.New(auditCore), order: &order{}}
	cfg := DefaultConfig()
	cfg.Vaults = true
	deps := Dependencies{
		Store: b.store, Leases: &fakeLeases{}, Announce: b.order, Vaults: b, TryVault: b.tryVault,
		Explain: func(error) string { return "" }, Judge: func(string) func(string, []byte) authz.Outcome {
			return func(string, []byte) authz.Outcome { return authz.Outcome{Reason: authz.ReasonAuthenticated} }
		}, Denials: func(string) authz.Found { return authz.Found{} }, Overview: func() api.Overview { return api.Overview{} },
		LastUsed: &fakeUses{}, Decide: func(context.Context, *authz.Request) authz.Explanation { return authz.Explanation{} },
		Metrics: b.registry, Log: zap.New(logCore), Audit: b.auditor,
	}
	for _, o := range options {
		o(&cfg, &deps)
	}
	made, err := New(cfg, deps)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	b.api = made
	return b
}

// An answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// do calls the API. body is sent as the content type says; "" sends none.
func (b *bench) do(method, target, contentType, body string) answer {
	b.Helper()
	var reader io.Reader = http.NoBody
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://localhost:9192"+target, reader)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for name, value := range b.headers {
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.api.ServeHTTP(w, r)
	return b.answer(w.Code, w.Header(), w.Body.Bytes())
}

func (b *bench) answer(status int, header http.Header, raw []byte) answer {
	b.Helper()
	out := answer{status: status, header: header, raw: string(raw)}
	if strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(raw, &out.body); err != nil {
			b.Fatalf("the answer %q is not JSON: %v", out.raw, err)
		}
	}
	return out
}

func (b *bench) json(method, target, body string) answer {
	b.Helper()
	return b.do(method, target, typeJSON, body)
}

func (b *bench) form(method, target, body string) answer {
	b.Helper()
	return b.do(method, target, typeForm, body)
}

func (b *bench) get(target string) answer { b.Helper(); return b.do("GET", target, "", "") }

// must calls and insists on the status.
func (b *bench) must(status int, a answer) answer {
	b.Helper()
	if a.status != status {
		b.Fatalf("got status %d, want %d: %s", a.status, status, a.raw)
	}
	return a
}

func (a answer) text(path string) string {
	var at any = a.body
	for name := range strings.SplitSeq(path, ".") {
		m, _ := at.(map[string]any)
		at = m[name]
	}
	s, _ := at.(string)
	return s
}

const vaultToken = "s.m3w9gdV0uMDYFpMgEWSB2mtM"

const vaultForm = "name=kong-auth&mount=kong-auth&protocol=http&host=127.0.0.1&port=8200&vault_token=" + vaultToken

// furnished is a bench with a vault object and the consumers alice and bob.
func furnished(tb testing.TB) *bench {
	tb.Helper()
	b := newBench(tb)
	b.must(201, b.form("POST", "/vault-auth", vaultForm))
	b.must(201, b.form("POST", "/consumers", "username=alice&custom_id=a-1&tags=team&tags=gold"))
	b.must(201, b.form("POST", "/consumers", "username=bob&tags=team"))
	return b
}

func mustJSON(tb testing.TB, v any) string {
	tb.Helper()
	if err, isError := v.(error); isError {
		return err.Error()
	}
	raw, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return string(raw)
}
