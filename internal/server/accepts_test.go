package server

import (
	"net"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestConnectionsAreCountedAndHandedOnAsTheyAre(t *testing.T) {
	t.Parallel()
	a, err := NewAccepts(prometheus.NewRegistry(), "grpc", "admin")
	if err != nil {
		t.Fatal(err)
	}
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := a.Count("grpc", plain)
	client, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("got a %T, want that of the net package", conn)
	}
	_ = ln.Close()
	if _, err := ln.Accept(); err == nil {
		t.Error("a closed listener accepts")
	}
	for listener, want := range map[string]float64{"grpc": 1, "admin": 0} {
		if got := testutil.ToFloat64(a.accepted.WithLabelValues(listener)); got != want {
			t.Errorf("%s: got %v, want %v", listener, got, want)
		}
	}
}
