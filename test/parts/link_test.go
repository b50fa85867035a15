package parts

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echoes starts a server that echoes all data.
func echoes(t *testing.T) (address string) {
	t.Helper()
	return serve(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
}

// linked returns a function that connects to an echo server over two links. It returns nil
// if the connection is reset at once.
func linked(t *testing.T, there, back *Link) (dial func() net.Conn) {
	t.Helper()
	p, err := newRoutedProxy(t.Context(), echoes(t), func(net.Conn) (*Link, *Link) { return there, back })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return func() net.Conn {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.Address())
		if errors.Is(err, syscall.ECONNRESET) {
			return nil
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

// heard returns up to n bytes that arrive within a time.
func heard(t *testing.T, c net.Conn, n int, within time.Duration) (string, error) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, n)
	n, err := io.ReadFull(c, buf)
	return string(buf[:n]), err
}

func say(t *testing.T, c net.Conn, what string) {
	t.Helper()
	if _, err := io.WriteString(c, what); err != nil {
		t.Fatal(err)
	}
}

func TestASilentLinkHoldsBackAndLosesNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"there", "back"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var there, back Link
			dial := linked(t, &there, &back)
			silent := map[string]*Link{"there": &there, "back": &back}[name]
			c := dial()
			say(t, c, "before ")
			if got, err := heard(t, c, 7, 5*time.Second); got != "before " || err != nil {
				t.Fatalf("before: got %q, %v", got, err)
			}
			silent.Silence()
			say(t, c, "meanwhile")
			another := dial()
			say(t, another, "new")
			for _, c := range []net.Conn{c, another} {
				if got, err := heard(t, c, 1, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("silent: got %q, %v, want a timeout", got, err)
				}
			}
			silent.Restore()
			if got, err := heard(t, c, 9, 5*time.Second); got != "meanwhile" || err != nil {
				t.Errorf("restored: got %q, %v", got, err)
			}
			if got, err := heard(t, another, 3, 5*time.Second); got != "new" || err != nil {
				t.Errorf("restored, a new connection: got %q, %v", got, err)
			}
		})
	}
}

func TestALinkThatIsCutEndsConnections(t *testing.T) {
	t.Parallel()
	var there, back Link
	dial := linked(t, &there, &back)
	c := dial()
	say(t, c, "before")
	if got, err := heard(t, c, 6, 5*time.Second); got != "before" || err != nil {
		t.Fatalf("before: got %q, %v", got, err)
	}
	// Cutting one direction ends the connection.
	back.Cut()
	for name, c := range map[string]net.Conn{"open": c, "new": dial()} {
		if c == nil {
			continue
		}
		if got, err := heard(t, c, 1, 5*time.Second); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %q, %v, want a closed connection", name, got, err)
		}
	}
	back.Restore()
	c = dial()
	say(t, c, "after")
	if got, err := heard(t, c, 5, 5*time.Second); got != "after" || err != nil {
		t.Errorf("after: got %q, %v", got, err)
	}
}

func TestASlowLinkDelaysDataAndKeepsItsRate(t *testing.T) {
	t.Parallel()
	const delay = 100 * time.Millisecond
	var there, back Link
	c := linked(t, &there, &back)()
	there.SetDelay(delay)
	back.SetDelay(delay)
	began := time.Now()
	const parcels = 20
	go func() {
		for range parcels {
			_, _ = io.WriteString(c, "x")
			time.Sleep(time.Millisecond)
		}
	}()
	if got, err := heard(t, c, parcels, 30*time.Second); len(got) != parcels || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	if took := time.Since(began); took < 2*delay || took > parcels*delay {
		t.Errorf("%d parcels came back after %s, want about %s", parcels, took, 2*delay)
	}
}
