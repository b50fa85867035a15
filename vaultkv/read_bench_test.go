package vaultkv_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// answerAll answers every request on a connection with the same bytes, at next to no cost
// of its own.
func answerAll(conn net.Conn, answer []byte) {
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > 2 {
			continue
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}

// BenchmarkRead compares the read of a credential with the same request by net/http
// alone. What the former costs more is vault/api, the choice of a node, and decoding.
func BenchmarkRead(b *testing.B) {
	body := `{"request_id":"4b9c9f4e-7a0e-3a63-2d4b-1d1c0b1f0a3e","lease_id":"","renewable":false,"lease_duration":2764800,"data":` + string(recordWith()) + `,"wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}`
	answer := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answerAll(conn, answer)
		}
	}()
	address := "http://" + listener.Addr().String()

	b.Run("Lookup", func(b *testing.B) {
		c := goodConfig()
		c.Address, c.Token = address, vaultToken
		v, err := vaultkv.New(c, zap.NewNop())
		if err != nil {
			b.Fatal(err)
		}
		defer v.CloseIdle()
		store := record.NewSource(c.Name, v, authz.NewDigester(), zap.NewNop())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := store.Lookup(b.Context(), accessToken); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net/http", func(b *testing.B) {
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		get := func(ctx context.Context) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/v1/kong-auth/"+accessToken, http.NoBody)
			if err != nil {
				return err
			}
			r.Header.Set("X-Vault-Token", vaultToken)
			r.Header.Set("X-Vault-Request", "true")
			resp, err := transport.RoundTrip(r)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			_, err = io.ReadAll(resp.Body)
			return err
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := get(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
