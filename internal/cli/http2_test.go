package cli

import (
	"net"
	"strings"
	"testing"
)

func TestAnHTTP2ServerIsReportedWhicheverSideSpeaksFirst(t *testing.T) {
	t.Parallel()
	for _, waits := range []bool{false, true} {
		for _, scheme := range []string{"http", "https"} {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = ln.Close() })
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					if waits {
						_, _ = conn.Read(make([]byte, 1))
					}
					// An empty SETTINGS frame, which each server begins with.
					_, _ = conn.Write([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
				}
			}()
			for range 5 {
				code, _, errs := operate(t, nil, "consumer", "list", "--admin", scheme+"://"+ln.Addr().String())
				if code != exitFailed || !strings.Contains(errs, "speaks HTTP/2 at once") || strings.Contains(errs, "x00") {
					t.Errorf("%s, waits: %t: exit %d, said %q", scheme, waits, code, errs)
				}
			}
		}
	}
}
