package parts

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// An Echo describes a request that reached the upstream. The upstream answers every HTTP
// request with it, as JSON, and every gRPC call in the header [EchoHeader].
type Echo struct {
	Protocol string `json:"protocol"`
	Method   string `json:"method"`
	// Target is the path with the query, as sent.
	Target string `json:"target"`
	Host   string `json:"host"`
	// Headers has every value of each header, by its name in lower case.
	Headers map[string][]string `json:"headers"`
	Body    string              `json:"body,omitempty"`
}

// EchoHeader carries the [Echo] of a gRPC call.
const EchoHeader = "x-upstream-echo"

// An Upstream is a server that echoes requests, over HTTP/1.1 and HTTP/2 without TLS on the
// same port. Its gRPC API is the standard health service. An upgraded connection echoes all
// data. It is safe for concurrent use.
type Upstream struct {
	ln     net.Listener
	server *http.Server

	mu      sync.Mutex
	targets map[string]int
}

// StartUpstream starts an upstream on an address. It must be closed.
func StartUpstream(ctx context.Context, address string) (*Upstream, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	u := &Upstream{ln: ln, targets: map[string]int{}}
	calls := grpc.NewServer()
	healthpb.RegisterHealthServer(calls, health{upstream: u})
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	u.server = &http.Server{
		Protocols:         &protocols,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				calls.ServeHTTP(w, r)
				return
			}
			u.echo(w, r)
		}),
	}
	go func() { _ = u.server.Serve(ln) }()
	return u, nil
}

// Address returns the host:port of the upstream.
func (u *Upstream) Address() string { return u.ln.Addr().String() }

// Reached returns the number of requests for a path.
func (u *Upstream) Reached(path string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.targets[path]
}

// Close stops the upstream and closes its connections.
func (u *Upstream) Close() error { return u.server.Close() }

func (u *Upstream) count(path string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.targets[path]++
}

func (u *Upstream) echo(w http.ResponseWriter, r *http.Request) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	u.count(path)
	if protocol := r.Header.Get("Upgrade"); protocol != "" {
		upgrade(w, protocol)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e := Echo{Protocol: r.Proto, Method: r.Method, Target: r.RequestURI, Host: r.Host, Headers: lowered(r.Header), Body: string(body)}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(e)
}

// upgrade accepts an upgrade to any protocol and echoes all data.
func upgrade(w http.ResponseWriter, protocol string) {
	conn, both, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = both.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n")
	if both.Flush() == nil {
		_, _ = io.Copy(conn, both)
	}
}

func lowered(h http.Header) map[string][]string {
	out := make(map[string][]string, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		key := strings.ToLower(name)
		out[key] = append(out[key], h[name]...)
	}
	return out
}

// health answers every health check with SERVING.
type health struct {
	healthpb.UnimplementedHealthServer
	upstream *Upstream
}

// Check implements [healthpb.HealthServer].
func (h health) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	h.upstream.count(healthpb.Health_Check_FullMethodName)
	md, _ := metadata.FromIncomingContext(ctx)
	e := Echo{Protocol: "gRPC", Method: http.MethodPost, Target: healthpb.Health_Check_FullMethodName, Headers: md}
	raw, err := json.Marshal(e)
	if err := errors.Join(err, grpc.SetHeader(ctx, metadata.Pairs(EchoHeader, string(raw)))); err != nil {
		return nil, err
	}
	return &healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING}, nil
}
