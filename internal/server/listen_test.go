package server

import (
	"net"
	"testing"
	"time"
)

func TestAnIPv4AddressIsNotListenedOnWithIPv6(t *testing.T) {
	if !hasIPv6(t) {
		t.Skip("this machine has no IPv6")
	}
	tests := []struct {
		address    string
		ipv4, ipv6 bool
	}{
		{address: "0.0.0.0:0", ipv4: true},
		{address: "127.0.0.1:0", ipv4: true},
		{address: "[::ffff:127.0.0.1]:0", ipv4: true},
		{address: "[::]:0", ipv4: true, ipv6: true},
		{address: "[::1]:0", ipv6: true},
		{address: ":0", ipv4: true, ipv6: true},
	}
	for _, test := range tests {
		// One at a time: another may have the same port of the other version.
		t.Run(test.address, func(t *testing.T) {
			ln, err := Listen(t.Context(), test.address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			_, port, err := net.SplitHostPort(Address(ln))
			if err != nil {
				t.Fatal(err)
			}
			for host, want := range map[string]bool{"127.0.0.1": test.ipv4, "::1": test.ipv6} {
				if got := answers(t, net.JoinHostPort(host, port)); got != want {
					t.Errorf("%s: a connection is accepted: %t, want %t", host, got, want)
				}
			}
		})
	}
}

func TestANameAndAPortAloneAreListenedOnAsTheSystemResolvesThem(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"localhost:0", ":0", ":http", "nonsense", "[::1"} {
		if got := network(address); got != "tcp" {
			t.Errorf("%q: got %s, want tcp", address, got)
		}
	}
}

func hasIPv6(t *testing.T) bool {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp6", "[::1]:0")
	if err != nil {
		return false
	}
	_ = ln.Close()
	return true
}

func answers(t *testing.T, address string) bool {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
