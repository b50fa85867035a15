package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func newTestFront(t *testing.T) *front {
	t.Helper()
	vault := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("an answer that is long enough to be cut"))
	}))
	t.Cleanup(vault.Close)
	f, err := newFront(t.Context(), vault.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.close() })
	return f
}

// check sends a request with a client.
func (f *front) check(client *http.Client) error {
	resp, err := client.Get("http://127.0.0.1:" + f.port + "/v1/some/path")
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var body [100]byte
	for {
		if _, err := resp.Body.Read(body[:]); err != nil {
			if err.Error() == "EOF" {
				return nil
			}
			return err
		}
	}
}

func TestAFrontBreaksAndMends(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name          string
		breakIt, mend func(*testing.T, *front)
	}{
		{"refused", func(_ *testing.T, f *front) { f.refuse() }, func(t *testing.T, f *front) {
			t.Helper()
			if err := f.accept(t.Context(), "127.0.0.1"); err != nil {
				t.Fatal(err)
			}
		}},
		{"reset", func(_ *testing.T, f *front) { f.link().set(resets) }, func(_ *testing.T, f *front) { f.link().set(passes) }},
		{"vanished", func(_ *testing.T, f *front) { f.link().set(blackholes) }, func(_ *testing.T, f *front) { f.link().set(passes) }},
		{"cut", func(_ *testing.T, f *front) { f.link().set(truncates) }, func(_ *testing.T, f *front) { f.link().set(passes) }},
		{"slow", func(_ *testing.T, f *front) { f.link().delay(time.Minute) }, func(_ *testing.T, f *front) { f.link().delay(0) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newTestFront(t)
			kept, fresh := &http.Transport{}, &http.Transport{DisableKeepAlives: true}
			// A machine can be busy for long; only an answer that must not come has little time.
			patient := func(t *http.Transport) *http.Client { return &http.Client{Transport: t, Timeout: 30 * time.Second} }
			hasty := func(t *http.Transport) *http.Client {
				return &http.Client{Transport: t, Timeout: 300 * time.Millisecond}
			}
			if err := f.check(patient(kept)); err != nil {
				t.Fatalf("before: %v", err)
			}
			test.breakIt(t, f)
			for name, transport := range map[string]*http.Transport{"kept": kept, "fresh": fresh} {
				if f.check(hasty(transport)) == nil {
					t.Errorf("broken: a %s connection got an answer, want an error", name)
				}
			}
			test.mend(t, f)
			if err := f.check(patient(fresh)); err != nil {
				t.Errorf("mended: %v", err)
			}
			if n := f.count.matching("/some/path", time.Time{}, time.Now()); n < 2 {
				t.Errorf("counted %d requests, want at least 2", n)
			}
		})
	}
}
