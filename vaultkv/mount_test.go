package vaultkv_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
)

const (
	mountV1   = `{"data":{"type":"kv","options":{"version":"1"}}}`
	mountV2   = `{"data":{"type":"kv","options":{"version":"2"}}}`
	noEntry   = `{"errors":[]}`
	noMount   = `{"errors":["no handler for route \"kong-auth/data/x\". route entry not found."]}`
	denied    = `{"errors":["1 error occurred:\n\t* permission denied\n\n"]}`
	notValid  = `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`
	aboutIt   = "/v1/sys/internal/ui/mounts/"
	lookUpOwn = "/v1/auth/token/lookup-self"
)

// A KV v1 mount says "not found" to each read of a client of KV v2, whatever it contains. That
// never counts: not while the server is about to say what the mount is, and not after it refused
// to tell a token that was not allowed to read either.
func TestNotFoundInAMountOfTheOtherVersionNeverCounts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		// refuse answers what is not allowed, and reports whether it has.
		refuse func(w http.ResponseWriter, r *http.Request) (refused bool)
	}{
		{"the token was not accepted at first", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("X-Vault-Token") == "second" {
				return false
			}
			answer(403, notValid)(w, r)
			return true
		}},
		{"the policies were made later", func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == lookUpOwn {
				answer(200, `{"data":{}}`)(w, r)
				return true
			}
			if r.Header.Get("X-Vault-Token") == "second" {
				return false
			}
			answer(403, denied)(w, r)
			return true
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "token")
			writeFile(t, file, "first")
			v, s, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case test.refuse(w, r):
				case strings.HasPrefix(r.URL.Path, aboutIt):
					answer(200, mountV1)(w, r)
				default:
					answer(404, noEntry)(w, r)
				}
			}), func(c *vaultkv.Config) { c.KV, c.Token, c.TokenFile = "v2", "", file })
			if err := v.Check(t.Context()); err == nil {
				t.Fatal("Check = nil, want an error")
			}
			writeFile(t, file, "second")
			v.CloseBreaker()
			_, err := s.Lookup(t.Context(), "foo")
			if errors.Is(err, authz.ErrNotFound) || !errors.Is(err, authz.ErrUnavailable) || v.State() != vaultkv.StateWrongVersion {
				t.Errorf("Lookup = %v in state %s, want unavailable in state %s", err, v.State(), vaultkv.StateWrongVersion)
			}
		})
	}
	t.Run("the server is about to say it", func(t *testing.T) {
		t.Parallel()
		url := fake(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, aboutIt) {
				answer(200, mountV1)(w, r)
				return
			}
			answer(404, noEntry)(w, r)
		})
		for range 100 {
			v, s, _ := open(t, url, func(c *vaultkv.Config) { c.KV = "v2" })
			var reads sync.WaitGroup
			for range 16 {
				reads.Go(func() {
					if _, err := s.Lookup(t.Context(), "foo"); errors.Is(err, authz.ErrNotFound) {
						t.Errorf("Lookup = %v, want unavailable", err)
					}
				})
			}
			reads.Wait()
			v.CloseIdle()
		}
	})
	t.Run("something in front of the server answered first", func(t *testing.T) {
		t.Parallel()
		var up atomic.Bool
		v, s, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !up.Load():
				answer(404, `<html>default backend</html>`)(w, r)
			case strings.HasPrefix(r.URL.Path, aboutIt):
				answer(200, mountV1)(w, r)
			default:
				answer(404, noEntry)(w, r)
			}
		}), func(c *vaultkv.Config) { c.KV = "v2" })
		if err := v.Check(t.Context()); err == nil {
			t.Fatal("Check = nil, want an error")
		}
		up.Store(true)
		v.CloseBreaker()
		if _, err := s.Lookup(t.Context(), "foo"); errors.Is(err, authz.ErrNotFound) || v.State() != vaultkv.StateWrongVersion {
			t.Errorf("Lookup = %v in state %s, want unavailable in state %s", err, v.State(), vaultkv.StateWrongVersion)
		}
	})
	t.Run("another mount took its place", func(t *testing.T) {
		t.Parallel()
		var mount atomic.Value
		mount.Store(mountV2)
		v, s, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
			is := mount.Load().(string)
			switch {
			case is == noMount:
				answer(404, noMount)(w, r)
			case strings.HasPrefix(r.URL.Path, aboutIt):
				answer(200, is)(w, r)
			default:
				answer(404, noEntry)(w, r)
			}
		}), func(c *vaultkv.Config) { c.KV = "v2" })
		for _, step := range []struct {
			is   string
			want error
		}{{mountV2, authz.ErrNotFound}, {noMount, authz.ErrUnavailable}, {mountV1, authz.ErrUnavailable}, {noMount, authz.ErrUnavailable}, {mountV2, authz.ErrNotFound}} {
			mount.Store(step.is)
			v.CloseBreaker()
			if _, err := s.Lookup(t.Context(), "foo"); !errors.Is(err, step.want) {
				t.Errorf("at %s: Lookup = %v, want %v", step.is, err, step.want)
			}
		}
	})
}

// A proxy may let only reads through. Then "not found" counts, as the server lets the token read.
func TestNotFoundCountsIfTheServerDoesNotSayWhatTheMountIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status int
		body   string
	}{
		{"a proxy forbids the question", 403, `<html>forbidden</html>`},
		{"the server forbids the question", 403, denied},
		{"there is no such path", 404, noEntry},
		{"the answer is not known", 200, `{"data":[]}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			v, s, _ := open(t, fake(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == lookUpOwn:
					answer(200, `{"data":{}}`)(w, r)
				case strings.HasPrefix(r.URL.Path, aboutIt):
					asked.Add(1)
					answer(test.status, test.body)(w, r)
				default:
					answer(404, noEntry)(w, r)
				}
			}), func(c *vaultkv.Config) { c.KV = "v2" })
			for range 3 {
				if _, err := s.Lookup(t.Context(), "foo"); !errors.Is(err, authz.ErrNotFound) {
					t.Errorf("Lookup = %v, want %v", err, authz.ErrNotFound)
				}
			}
			if asked.Load() != 1 || v.State() != vaultkv.StateOK {
				t.Errorf("asked %d times, in state %s; want once, in state ok", asked.Load(), v.State())
			}
		})
	}
}
