package server

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// connected returns a listener whose connections are counted, and a function that makes one.
func connected(t *testing.T, c *Connections, listener, network, address string) func() (client, server net.Conn) {
	t.Helper()
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	if err != nil {
		t.Fatal(err)
	}
	ln := c.Count(listener, plain)
	t.Cleanup(func() {
		_ = ln.Close()
		if _, err := ln.Accept(); err == nil {
			t.Error("a closed listener accepts")
		}
	})
	return func() (client, server net.Conn) {
		t.Helper()
		client, err := (&net.Dialer{}).DialContext(t.Context(), network, ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err = ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = client.Close(), server.Close() })
		return client, server
	}
}

func TestConnectionsAreCountedAndHandedOnAsTheyAre(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	c, err := NewConnections(reg, "grpc", "probes", "admin")
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, accepted, open [2]int) {
		t.Helper()
		text := ""
		for _, m := range []struct {
			name, help, kind string
			values           [2]int
		}{
			{"accepted_total", "Connections that were accepted, by listener: grpc, probes, admin.", "counter", accepted},
			{"open", "Connections that are open, by listener: grpc, probes, admin.", "gauge", open},
		} {
			name := "vault_authz_connections_" + m.name
			text += fmt.Sprintf("# HELP %s %s\n# TYPE %s %s\n", name, m.help, name, m.kind)
			for i, listener := range []string{"grpc", "probes"} {
				text += fmt.Sprintf("%s{listener=%q} %d\n", name, listener, m.values[i])
			}
			text += fmt.Sprintf("%s{listener=\"admin\"} 0\n", name)
		}
		if err := testutil.GatherAndCompare(reg, strings.NewReader(text)); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}
	want("at the start", [2]int{}, [2]int{})
	tcp, socket := connected(t, c, "grpc", "tcp", "127.0.0.1:0"), connected(t, c, "probes", "unix", filepath.Join(t.TempDir(), "s"))
	_, first := tcp()
	client, second := tcp()
	_, other := socket()
	if _, ok := first.(*net.TCPConn); !ok {
		t.Errorf("got a %T, want that of the net package", first)
	}
	want("with three connections", [2]int{2, 1}, [2]int{2, 1})
	_ = client.Close()
	want("when only the client has closed its end", [2]int{2, 1}, [2]int{2, 1})
	_ = second.Close()
	want("when one is closed", [2]int{2, 1}, [2]int{1, 1})
	_, _ = first.Close(), other.Close()
	want("when all are closed", [2]int{2, 1}, [2]int{})
}

func TestClosedConnectionsDoNotPileUpWhileNobodyAsks(t *testing.T) {
	t.Parallel()
	c, err := NewConnections(prometheus.NewRegistry(), "grpc")
	if err != nil {
		t.Fatal(err)
	}
	connect := connected(t, c, "grpc", "tcp", "127.0.0.1:0")
	for range 2 * firstSweep {
		client, server := connect()
		_, _ = client.Close(), server.Close()
	}
	if n := len(c.byListener["grpc"].open); n > firstSweep {
		t.Errorf("%d closed connections are kept, want at most %d", n, firstSweep)
	}
}
