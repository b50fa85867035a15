package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A stubAuthorizer decides by the path and reports the request in a header.
type stubAuthorizer struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements [authv3.AuthorizationServer].
func (stubAuthorizer) Check(_ context.Context, in *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	r := in.GetAttributes().GetRequest().GetHttp()
	switch {
	case strings.HasPrefix(r.GetPath(), "/error"):
		return nil, status.Error(codes.Internal, "as asked")
	case strings.HasPrefix(r.GetPath(), "/deny"):
		return &authv3.CheckResponse{
			Status: &statuspb.Status{Code: int32(codes.Unauthenticated)},
			HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
				Status: &typev3.HttpStatus{Code: typev3.StatusCode_Unauthorized}, Body: "denied by the stub",
			}},
		}, nil
	}
	form := "map"
	if len(r.GetHeaderMap().GetHeaders()) > 0 {
		form = "raw"
	}
	told := strings.Join([]string{form, in.GetAttributes().GetContextExtensions()["policy"], r.GetProtocol(), r.GetBody() + string(r.GetRawBody())}, "|")
	return &authv3.CheckResponse{
		Status: &statuspb.Status{},
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{Headers: []*corev3.HeaderValueOption{{
			Header:       &corev3.HeaderValue{Key: "x-told", Value: told},
			Append:       wrapperspb.Bool(false),
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		}}}},
	}, nil
}

// TestEachListenerAsksAsItsNamePromises tests the harness, without vault-authz.
func TestEachListenerAsksAsItsNamePromises(t *testing.T) {
	t.Parallel()
	partstest.Need(t, "ENVOY_BIN")
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	authv3.RegisterAuthorizationServer(srv, stubAuthorizer{})
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(srv.Stop)
	upstream := partstest.StartUpstream(t, "127.0.0.1:0")
	listeners := sharedSetup().listeners
	for i := range listeners {
		listeners[i].Authz = ln.Addr().String()
	}
	listeners = append(listeners, parts.Listener{Name: "open", Authz: ln.Addr().String(), FailureModeAllow: true})
	envoy, err := parts.StartEnvoy(t.Context(), parts.EnvoyConfig{
		Binary: suite.envoy, Dir: t.TempDir(), Upstream: upstream.Address(), Listeners: listeners, Policies: []string{"gold"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		envoy.Kill()
		if t.Failed() {
			t.Log(envoy.Log())
		}
	})
	bed := &testbed{envoy: envoy}

	tests := []struct {
		name, listener string
		http2          bool
		request        request
		status         int
		told           string
	}{
		{"headers come as a map", onHeaders, false, request{policy: "gold", target: "/x"}, 200, "map|gold|HTTP/1.1|"},
		{"HTTP/2 works on the same port", onHeaders, true, request{policy: "gold", target: "/x"}, 200, "map|gold|HTTP/2|"},
		{"raw headers come as a list", onRaw, false, request{policy: "gold", target: "/x"}, 200, "raw|gold|HTTP/1.1|"},
		{"another host names no policy", onHeaders, false, request{host: "other.test", target: "/x"}, 200, "map||HTTP/1.1|"},
		{"a body comes along", onBody, false, request{method: "POST", target: "/x", body: "b=1"}, 200, "map||HTTP/1.1|b=1"},
		{"a body comes along as bytes", onBodyBytes, true, request{method: "POST", target: "/x", body: "b=1"}, 200, "raw||HTTP/2|b=1"},
		{"Envoy refuses a body that is too long", onWholeBody, false, request{method: "POST", target: "/x", body: strings.Repeat("b", bodyLimit+1)}, 413, ""},
		{"underscores are refused", onRejecting, false, request{target: "/x", header: []field{{"a_b", "1"}}}, 400, ""},
		{"a denial is a denial", onHeaders, false, request{target: "/deny"}, 401, ""},
		{"an error is closed", onHeaders, false, request{target: "/error"}, 403, ""},
		{"an error is open where failure_mode_allow is set", "open", false, request{target: "/error"}, 200, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := protocols()[0]
			if test.http2 {
				p = protocols()[1]
			}
			a := bed.send(t, test.listener, p, test.request)
			if a.status != test.status || (a.echo != nil) != (test.status == http.StatusOK) {
				t.Fatalf("status = %d, want %d; echo %v", a.status, test.status, a.echo)
			}
			if a.echo == nil {
				return
			}
			if got := strings.Join(a.echo.Headers["x-told"], ", "); got != test.told {
				t.Errorf("the authorizer received %q, want %q", got, test.told)
			}
		})
	}
	for counter, want := range map[string]int{
		"http.headers.ext_authz.ok": 3, "http.headers.ext_authz.denied": 1, "http.headers.ext_authz.error": 1,
		"http.open.ext_authz.failure_mode_allowed": 1,
	} {
		got, err := envoy.Counter(t.Context(), counter)
		if err != nil || got != want {
			t.Errorf("%s = %d, %v, want %d", counter, got, err, want)
		}
	}
}
