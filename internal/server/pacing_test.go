package server

import (
	"io"
	"net"
	"syscall"
	"testing"
)

func TestPacedConnectionsCarryWhatIsWrittenAndCanBeReadRaw(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			address := "127.0.0.1:0"
			if network == "unix" {
				address = t.TempDir() + "/s"
			}
			ln, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = ln.Close() }()
			go func() {
				conn, err := pacing{ln}.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				// Otherwise grpc-go keeps a buffer for every idle connection.
				if _, ok := conn.(syscall.Conn); !ok {
					t.Errorf("%T is not a syscall.Conn", conn)
				}
				if _, err := conn.Write([]byte("answer")); err != nil {
					t.Error(err)
				}
			}()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), network, ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if got, err := io.ReadAll(conn); err != nil || string(got) != "answer" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
