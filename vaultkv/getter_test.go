package vaultkv

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"go.uber.org/zap"
)

// requestsOf returns the address of a server that says "not found" to everything, and the
// requests that it gets, byte for byte.
func requestsOf(t *testing.T) (address string, requests <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	all := make(chan string, 10)
	serve := func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		r, request := bufio.NewReader(conn), ""
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			request += line
			if line != "\r\n" {
				continue
			}
			all <- request
			request = ""
			if _, err := io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\n{\"errors\":[]}"); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "http://" + listener.Addr().String(), all
}

// What an operator sees in an audit log, or a proxy in front of the server, does not depend
// on how a read is sent.
func TestReadsAreTheRequestsOfTheOfficialClient(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, key, token string
		edit             func(*Config)
	}{
		{"a token", "foo", "", func(*Config) {}},
		{"a namespace", "foo", "", func(c *Config) { c.Namespace = "team/prod" }},
		{"KV v2 and a prefix", "foo", "", func(c *Config) { c.KV, c.Prefix = KV2, "a/b" }},
		{"an agent", "foo", "", func(c *Config) { c.Token, c.Agent = "", true }},
		{"another token", "foo", "hvs.another", func(c *Config) { c.Namespace = "team" }},
		{"every character of a key", "a.b_c~d-E1+b=c:d@e$f*g'h(i)&", "", func(*Config) {}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address, requests := requestsOf(t)
			c := DefaultConfig()
			c.Name, c.Address, c.Mount, c.Token = "main", address, "kong-auth", "hvs.token"
			test.edit(&c)
			v, err := New(c, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(v.CloseIdle)
			if test.token != "" {
				v.getter.useToken(test.token)
			}
			path, ok := v.layout.object(test.key)
			if !ok {
				t.Fatalf("%q is no key", test.key)
			}
			sent := func(send func(context.Context) (*api.Response, error)) string {
				t.Helper()
				if a, problem := v.ask(t.Context(), send); problem != nil || a.Status != 404 || a.Errors == nil {
					t.Fatalf("ask = %+v, %v, want a 404 of Vault", a, problem)
				}
				return <-requests
			}
			want := sent(func(ctx context.Context) (*api.Response, error) {
				return v.client.Logical().ReadRawWithContext(ctx, path)
			})
			got := sent(func(ctx context.Context) (*api.Response, error) { return v.getter.get(ctx, path, nil) })
			if got != want {
				t.Errorf("a read is\n%s\nand by the official client\n%s", got, want)
			}
			if hasToken := strings.Contains(got, "X-Vault-Token: "); hasToken == c.Agent {
				t.Errorf("a token is sent: %t", hasToken)
			}
		})
	}
}
