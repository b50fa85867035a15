package gateways

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/vault-authz/vault-authz/test/parts"
)

// host is the host that the shipped files protect.
const host = "api.example.com"

// fields are the headers of a request, in pairs of name and value.
type fields []string

// pair presents the tokens of a credential under Kong's names.
func pair(access string) fields {
	return fields{"access_token", access, "secret_token", secretOf(access)}
}

// forged are identity headers that no client may set.
func forged() fields {
	return fields{
		"x-consumer-username", "forged", "x-consumer-id", "forged", "x_consumer_username", "forged",
		"x-consumer-groups", "forged", "x-credential-identifier", "forged", "x-anonymous-consumer", "forged",
	}
}

// clients returns a client for each version of HTTP, without TLS and idle connections.
func clients() map[string]*http.Client {
	all := map[string]*http.Client{}
	for name, http2 := range map[string]bool{"HTTP1": false, "HTTP2": true} {
		var p http.Protocols
		p.SetHTTP1(!http2)
		p.SetUnencryptedHTTP2(http2)
		all[name] = &http.Client{
			Timeout:       30 * time.Second,
			Transport:     &http.Transport{Protocols: &p, DisableKeepAlives: !http2, DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return all
}

// send sends a request to host:port.
func send(t *testing.T, client *http.Client, address string, r parts.Request, header fields) (parts.Response, error) {
	t.Helper()
	defer client.CloseIdleConnections()
	for i := 0; i < len(header); i += 2 {
		r.Header = append(r.Header, parts.Field{Name: header[i], Value: header[i+1]})
	}
	return parts.Send(t.Context(), client, address, r)
}

// call calls the health service behind a gateway and returns what reached it.
func call(t *testing.T, address string, header fields) (*parts.Echo, error) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithAuthority(host))
	must(t, err)
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, append(header, forged()...)...)
	var got metadata.MD
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&got)); err != nil {
		return nil, err
	}
	var e parts.Echo
	must(t, json.Unmarshal([]byte(strings.Join(got.Get(parts.EchoHeader), "")), &e))
	return &e, nil
}

// consumer returns the user names that reached the upstream, in every spelling.
func consumer(e *parts.Echo) string {
	var names []string
	for _, spelling := range []string{"x-consumer-username", "x_consumer_username"} {
		names = append(names, e.Headers[spelling]...)
	}
	return strings.Join(names, ", ")
}

// headers returns the values of all headers that reached the upstream.
func headers(e *parts.Echo) []string {
	var all []string
	for _, values := range e.Headers {
		all = append(all, values...)
	}
	return all
}
