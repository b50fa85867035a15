// Package golden tests whole cases: a configuration, records and a request, with the
// exact answer. Each case runs directly and over gRPC, with raw and with joined
// headers.
package golden

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rogpeppe/go-internal/txtar"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/config"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

var update = flag.Bool("update", false, "write the answers into testdata")

// The parts of a case.
const (
	partConfig  = "config.yaml"
	partRecords = "records.json"
	partRequest = "request.json"
	partAnswer  = "answer.json"
)

// request is a request in a case.
type request struct {
	Method, URL, Policy, Body string
	Headers                   [][2]string
}

func TestGoldenCasesDirectlyAndOverGRPC(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			service := serviceOf(t, part(t, archive, partConfig), part(t, archive, partRecords))
			var r request
			if err := json.Unmarshal(part(t, archive, partRequest), &r); err != nil {
				t.Fatal(err)
			}
			if *update {
				writeAnswer(t, name, archive, answer(t, service.Answer, r, true))
			}
			want := string(part(t, archive, partAnswer))
			client := overGRPC(t, service, server.GRPCOptions()...)
			for transport, check := range map[string]check{"directly": service.Answer, "over gRPC": func(ctx context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
				return client.Check(ctx, in)
			}} {
				for _, raw := range []bool{true, false} {
					if diff := cmp.Diff(want, answer(t, check, r, raw)); diff != "" {
						t.Errorf("%s, raw headers %t (-want +got):\n%s", transport, raw, diff)
					}
				}
			}
		})
	}
}

type check func(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error)

// answer returns the answer to a request as JSON.
func answer(t *testing.T, ask check, r request, raw bool) string {
	t.Helper()
	q := envoy.Question{Method: r.Method, URL: r.URL, Policy: r.Policy, RawHeaders: raw}
	for _, h := range r.Headers {
		q.Headers = append(q.Headers, authz.Header{Name: h[0], Value: h[1]})
	}
	if r.Body != "" {
		q.Body = []byte(r.Body)
	}
	form, err := q.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var in authv3.CheckRequest
	if err := protojson.Unmarshal(form, &in); err != nil {
		t.Fatal(err)
	}
	out, err := ask(t.Context(), &in)
	if err != nil {
		return fmt.Sprintf("%v\n", err)
	}
	if form, err = protojson.Marshal(out); err != nil {
		t.Fatal(err)
	}
	// The white space of protojson is not stable.
	var text bytes.Buffer
	if err := json.Indent(&text, form, "", "  "); err != nil {
		t.Fatal(err)
	}
	return text.String() + "\n"
}

func serviceOf(t *testing.T, configuration, records []byte) *envoy.Service {
	t.Helper()
	c, err := config.Parse(configuration, nil)
	if err != nil {
		t.Fatal(err)
	}
	var documents map[string]json.RawMessage
	if err := json.Unmarshal(records, &documents); err != nil {
		t.Fatal(err)
	}
	digester := authz.NewDigester()
	sources := map[string]authz.Source{}
	for i := range c.Vaults {
		engine := memkv.New()
		for key, document := range documents {
			engine.Put(key, document)
		}
		if bytes.Contains(records, []byte("the-store-is-down")) {
			engine.Fail(authz.ErrUnavailable)
		}
		sources[c.Vaults[i].Name] = record.NewSource(c.Vaults[i].Name, engine, digester, zap.NewNop())
	}
	snapshot, err := authz.NewSnapshot(c.Policies, c.Consumers, sources)
	if err != nil {
		t.Fatal(err)
	}
	return envoy.NewService(authz.New(snapshot, digester, c.Grammar), envoy.Options{})
}

// overGRPC starts a gRPC server and returns a client of it.
func overGRPC(t *testing.T, service *envoy.Service, options ...grpc.ServerOption) authv3.AuthorizationClient {
	t.Helper()
	srv := envoy.NewServer(service, 1<<20, prometheus.NewRegistry(), options...)
	return authv3.NewAuthorizationClient(partstest.ServeInMemory(t, srv))
}

func part(t *testing.T, a *txtar.Archive, name string) []byte {
	t.Helper()
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	if name == partAnswer && *update {
		return nil
	}
	t.Fatalf("the case has no %s", name)
	return nil
}

func writeAnswer(t *testing.T, name string, a *txtar.Archive, text string) {
	t.Helper()
	found := false
	for i := range a.Files {
		if a.Files[i].Name == partAnswer {
			a.Files[i].Data, found = []byte(text), true
		}
	}
	if !found {
		a.Files = append(a.Files, txtar.File{Name: partAnswer, Data: []byte(text)})
	}
	if err := os.WriteFile(name, txtar.Format(a), 0o600); err != nil {
		t.Fatal(err)
	}
}
