package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

const tracesEntities = `
vaults: [{name: v1, address: VAULT, mount: kong-auth, kv: v1, token: {file: TOKENFILE}, timeout: 2s}]
` + consumers + `
policies: [{name: default, default: true, vault: v1}]
`

// exportTo returns the environment of a vault-authz that exports its traces.
func exportTo(collector string) []string {
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_BSP_SCHEDULE_DELAY=50"}
}

// TestSpansHangBelowThoseOfEnvoy compares the spans of a request that Envoy and vault-authz
// export to one collector, and the trace that the decision log names.
func TestSpansHangBelowThoseOfEnvoy(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	collector, err := parts.StartCollector(t.Context())
	must(t, err)
	t.Cleanup(collector.Close)
	bed := ownTestbed(t, setup{
		entities: tracesEntities, listeners: []parts.Listener{{Name: onHeaders, Timeout: 5 * time.Second}},
		collector: collector.Address(), env: exportTo(collector.Address()),
	})
	p := bed.credential(t, aliceID, nil)
	const clientTrace, clientSpan = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for i, test := range []struct {
		name        string
		pair        pair
		traceparent string
		status      int
		want        map[string]string
		// reads are the outcomes of the reads of Vault.
		reads []string
	}{
		{
			name: "Envoy begins the trace, and Vault is read", pair: p, status: http.StatusOK,
			want:  map[string]string{"decision": "allow", "reason": "authenticated", "cache": "miss"},
			reads: []string{"found"},
		},
		{
			name: "the client begins the trace, and the cache answers", pair: p, status: http.StatusOK, traceparent: "00-" + clientTrace + "-" + clientSpan + "-01",
			want: map[string]string{"decision": "allow", "reason": "authenticated", "cache": "hit"},
		},
		{
			name: "a wrong secret makes Vault be read again", pair: pair{p.access, unique("secret")}, status: http.StatusUnauthorized,
			want:  map[string]string{"decision": "deny", "reason": "wrong_secret", "cache": "hit"},
			reads: []string{"found"},
		},
	} {
		suite.secrets.add(test.pair.secret)
		before := len(collector.Spans())
		r := request{target: "/traced", header: test.pair.headers()}
		if test.traceparent != "" {
			r.header = append(r.header, field{"traceparent", test.traceparent})
		}
		if got := bed.get(t, r); got.status != test.status {
			t.Fatalf("%s: status = %d, want %d", test.name, got.status, test.status)
		}
		var ingress, egress, check parts.Span
		partstest.Await(t, 20*time.Second, func(context.Context) error {
			spans := collector.Spans()[before:]
			var reads []string
			for _, s := range spans {
				switch {
				case s.Service == "envoy" && s.Kind == tracev1.Span_SPAN_KIND_SERVER:
					ingress = s
				case s.Service == "envoy":
					egress = s
				case s.Kind == tracev1.Span_SPAN_KIND_SERVER:
					check = s
				}
			}
			for _, s := range spans {
				if s.Service == "vault-authz" && s.Kind == tracev1.Span_SPAN_KIND_CLIENT && s.Parent == check.ID {
					reads = append(reads, s.Attributes["vault_authz.outcome"])
				}
			}
			if len(spans) != 3+len(test.reads) || !slices.Equal(reads, test.reads) {
				return fmt.Errorf("%d spans, and reads %v", len(spans), reads)
			}
			if lines := bed.service.Decisions("/traced"); len(lines) != i+1 || lines[i].Trace != check.Trace {
				return fmt.Errorf("the decision log has %+v, want one more line with the trace %s", lines, check.Trace)
			}
			return nil
		})
		if egress.Parent != ingress.ID || check.Parent != egress.ID || check.ID == "" {
			t.Errorf("%s: the parent of the check is %s, want the call of Envoy, %s below %s", test.name, check.Parent, egress.ID, ingress.ID)
		}
		if check.Trace != ingress.Trace || egress.Trace != ingress.Trace {
			t.Errorf("%s: the traces are %s, %s and %s, want one", test.name, ingress.Trace, egress.Trace, check.Trace)
		}
		if test.traceparent != "" && (check.Trace != clientTrace || ingress.Parent != clientSpan) {
			t.Errorf("%s: trace %s below %s, want those of the client", test.name, check.Trace, ingress.Parent)
		}
		for name, want := range test.want {
			if got := check.Attributes["vault_authz."+name]; got != want {
				t.Errorf("%s: %s is %q, want %q", test.name, name, got, want)
			}
		}
		if got, want := check.Attributes["vault_authz.credential"], authz.Fingerprint(p.access); got != want {
			t.Errorf("%s: credential is %q, want the fingerprint %q", test.name, got, want)
		}
	}
	for _, s := range collector.Spans() {
		if text := s.Raw.String(); s.Service == "vault-authz" && (strings.Contains(text, p.access) || strings.Contains(text, p.secret)) {
			t.Errorf("a token is in the span %s", text)
		}
	}
}

// TestACollectorThatIsGoneHoldsUpNeitherChecksNorTheStop exports to a port that refuses
// connections, and to one that accepts them and never answers.
func TestACollectorThatIsGoneHoldsUpNeitherChecksNorTheStop(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN", "VAULT_BIN")
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	for name, collector := range map[string]string{"refuses": "127.0.0.1:1", "is silent": silent.Addr().String()} {
		for _, protocol := range []string{"grpc", "http/protobuf"} {
			t.Run(name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				bed := ownTestbed(t, setup{
					entities: tracesEntities, listeners: []parts.Listener{{Name: onHeaders, Timeout: time.Second}},
					env: append(exportTo(collector), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_BSP_MAX_QUEUE_SIZE=8", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4"),
				})
				p := bed.credential(t, aliceID, nil)
				for range 200 { // far more than the queue holds
					if got := bed.get(t, request{target: "/traced", header: p.headers()}); got.status != http.StatusOK {
						t.Fatalf("status = %d, want 200 within Envoy's timeout", got.status)
					}
				}
				began := time.Now()
				bed.service.Stop(20 * time.Second)
				// The drain has nothing to wait for; the rest is for slow machines.
				if took := time.Since(began); took > 4*time.Second {
					t.Errorf("the stop took %s", took)
				}
				if !strings.Contains(bed.service.Log(), `"stopped"`) {
					t.Error("the service did not stop by itself")
				}
				if lines := strings.Count(bed.service.Log(), "spans could not be exported"); lines > 1 {
					t.Errorf("%d lines about the collector", lines)
				}
			})
		}
	}
}
