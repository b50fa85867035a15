package parts

import (
	"io"
	"net"
	"testing"
	"time"
)

// serve listens until the test ends. It closes a connection when do returns.
func serve(t *testing.T, do func(net.Conn)) (address string) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				do(c)
			}()
		}
	}()
	return ln.Addr().String()
}

// hello sends a greeting to every client.
func hello(t *testing.T, greeting string) (address string) {
	t.Helper()
	return serve(t, func(c net.Conn) { _, _ = io.WriteString(c, greeting) })
}

func greeted(t *testing.T, address string) (string, time.Duration, error) {
	t.Helper()
	start := time.Now()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = c.Close() }()
	b, err := io.ReadAll(c)
	return string(b), time.Since(start), err
}

func TestAProxyBreaksAndRecoversAsAsked(t *testing.T) {
	t.Parallel()
	first, second := hello(t, "first"), hello(t, "second")
	p, err := NewProxy(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	if got, _, err := greeted(t, p.Address()); got != "first" || err != nil {
		t.Errorf("got %q, %v, want first", got, err)
	}
	p.SetTarget(second)
	if got, _, err := greeted(t, p.Address()); got != "second" || err != nil {
		t.Errorf("with another target: got %q, %v, want second", got, err)
	}
	const latency = 50 * time.Millisecond
	p.SetLatency(latency)
	if got, took, err := greeted(t, p.Address()); got != "second" || took < latency || err != nil {
		t.Errorf("with latency %s: got %q after %s, %v", latency, got, took, err)
	}
	p.SetReset(true)
	if got, _, err := greeted(t, p.Address()); got != "" || err == nil {
		t.Errorf("with reset: got %q, %v, want an error", got, err)
	}
	p.SetReset(false)
	if got, _, err := greeted(t, p.Address()); got != "second" || err != nil {
		t.Errorf("after reset: got %q, %v, want second", got, err)
	}
}
