package vaultkv_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// The memory of an answer is used again for the next one: no request may see another's.
func TestReadsAtOnceGetTheirOwnRecords(t *testing.T) {
	t.Parallel()
	id := func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }
	address := fake(t, func(w http.ResponseWriter, r *http.Request) {
		var n int
		_, _ = fmt.Sscanf(r.URL.Path, "/v1/kong-auth/token-%d", &n)
		switch n % 4 {
		case 0:
			answer(404, `{"errors":[]}`)(w, r)
		case 1:
			// Without a length, in parts, and longer than the memory that is there.
			_, _ = fmt.Fprintf(w, `{"warnings":null,"data":{"padding":%q,`, strings.Repeat("x", n*37%9000))
			w.(http.Flusher).Flush()
			_, _ = fmt.Fprintf(w, `"access_token":"token-%d","secret_token":"secret-%d","consumer":{"id":%q}}}`, n, n, id(n))
		default:
			_, _ = fmt.Fprintf(w, `{"data":{"access_token":"token-%d","secret_token":"secret-%d","consumer":{"id":%q}}}`, n, n, id(n))
		}
	})
	_, s, _ := open(t, address, func(c *vaultkv.Config) { c.Timeout = 20 * time.Second })
	var at sync.WaitGroup
	for reader := range 16 {
		at.Go(func() {
			for i := range 40 {
				n := reader*40 + i
				token := fmt.Sprintf("token-%d", n)
				c, err := s.Lookup(t.Context(), token)
				switch {
				case n%4 == 0 && !errors.Is(err, authz.ErrNotFound):
					t.Errorf("Lookup(%s) = %v, want %v", token, err, authz.ErrNotFound)
				case n%4 != 0 && (err != nil || c.AccessToken != token || c.ConsumerID != id(n)):
					t.Errorf("Lookup(%s) = %s of %s, %v, want that of %s", token, c.AccessToken, c.ConsumerID, err, id(n))
				}
			}
		})
	}
	at.Wait()
}
