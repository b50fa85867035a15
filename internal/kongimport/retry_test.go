package kongimport

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A flaky service keeps what is made, and does not always answer.
type flaky struct {
	mu   sync.Mutex
	made map[string][]json.RawMessage
	// fails says what becomes of a call: nil, a status without an outcome, or a
	// connection that breaks. took says that it took effect all the same.
	fails func(r *http.Request) (status int, broken error, took bool)
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	status, broken, took := f.fails(r)
	if status == 0 && broken == nil || took {
		f.serve(w, r)
	}
	if broken != nil {
		return nil, broken
	}
	if status != 0 {
		w = httptest.NewRecorder()
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"message":"no Vault"}`)
	}
	return w.Result(), nil
}

func (f *flaky) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		_ = json.NewEncoder(w).Encode(map[string]any{"data": append([]json.RawMessage{}, f.made[r.URL.Path]...), "next": nil})
		return
	}
	if r.URL.Path != "/batch" {
		body, _ := io.ReadAll(r.Body)
		f.make(r.URL.Path, body)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
		return
	}
	var batch struct {
		Operations []struct {
			Path string
			Body json.RawMessage
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&batch)
	var answers []string
	for _, o := range batch.Operations {
		f.make(o.Path, o.Body)
		answers = append(answers, `{"status":201,"body":{}}`)
	}
	_, _ = io.WriteString(w, `{"answers":[`+strings.Join(answers, ",")+`]}`)
}

func (f *flaky) make(path string, body []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id, isGroup := strings.CutSuffix(strings.TrimPrefix(path, "/consumers/"), "/acls"); isGroup {
		var acl map[string]any
		_ = json.Unmarshal(body, &acl)
		acl["consumer"] = map[string]string{"id": id}
		path = "/acls"
		body, _ = json.Marshal(acl)
	}
	f.made[path] = append(f.made[path], body)
}

// A log of what a Reporter is told.
type told struct {
	made   int
	pauses []time.Duration
}

func (l *told) Made(n int)                           { l.made += n }
func (l *told) Waiting(_ error, pause time.Duration) { l.pauses = append(l.pauses, pause) }

// made runs an import to its end, by a clock that does not make anybody wait.
func made(t *testing.T, ctx context.Context, f *flaky, file string) (*Changes, *told) {
	t.Helper()
	f.made = map[string][]json.RawMessage{}
	client, err := api.NewClient("http://service", "", &http.Client{Transport: f})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(Part{"the file", []byte(file)})
	if err != nil {
		t.Fatal(err)
	}
	changes, l := Plan(parsed, &Existing{}), &told{}
	changes.Make(ctx, client, parsed, l)
	return changes, l
}

// outage fails every call until the service is back, which is known by the clock.
func outage(took bool, failure error, status int, back time.Duration) *flaky {
	began := time.Now()
	return &flaky{fails: func(r *http.Request) (int, error, bool) {
		if time.Since(began) >= back || r.Method == http.MethodGet && took {
			return 0, nil, false
		}
		return status, failure, took
	}}
}

func TestWhatTheServiceCouldNotAnswerIsTriedAgain(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	for _, test := range []struct {
		name   string
		status int
		broken error
		took   bool
	}{
		{"503", http.StatusServiceUnavailable, nil, false},
		{"503 to what took effect all the same", http.StatusServiceUnavailable, nil, true},
		{"too many requests", http.StatusTooManyRequests, nil, false},
		{"a restart", 0, refused, false},
		{"a connection that breaks after the call took effect", 0, io.ErrUnexpectedEOF, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 3 * batchSize
				f := outage(test.took, test.broken, test.status, 20*time.Second)
				changes, l := made(t, t.Context(), f, crowd(n))
				if changes.Count(Created) != 2*n+1 || l.made != 2*n+1 {
					t.Errorf("%d created, %d said to be made, want %d", changes.Count(Created), l.made, 2*n+1)
				}
				if len(f.made["/consumers"]) != n || len(f.made["/acls"]) != n || len(f.made["/plugins"]) != 1 {
					t.Errorf("made %d consumers, %d groups, %d plugins, want %d, %d, 1: nothing twice", len(f.made["/consumers"]), len(f.made["/acls"]), len(f.made["/plugins"]), n, n)
				}
			})
		})
	}
}

func TestItGivesUpWhenNothingCanBeMadeForAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		changes, l := made(t, t.Context(), outage(false, nil, http.StatusServiceUnavailable, time.Hour), crowd(10))
		took := time.Since(began)
		if changes.Count(Failed) != 21 || took < patience || took > patience+2*longestPause {
			t.Errorf("%d failed after %s, want all 21 after a minute", changes.Count(Failed), took)
		}
		if len(l.pauses) < 8 || len(l.pauses) > 20 {
			t.Errorf("%d tries in a minute", len(l.pauses))
		}
	})
}

func TestPausesGrowAndAreNotTheSameForAll(t *testing.T) {
	t.Parallel()
	different := map[string]bool{}
	for range 5 {
		synctest.Test(t, func(t *testing.T) {
			_, l := made(t, t.Context(), outage(false, nil, http.StatusServiceUnavailable, time.Hour), crowd(1))
			if first, last := l.pauses[0], l.pauses[len(l.pauses)-1]; first > 3*firstPause/2 || last < longestPause/2 || last > 3*longestPause/2 {
				t.Errorf("the first pause is %s, the last %s", first, last)
			}
			different[fmt.Sprint(l.pauses)] = true
		})
	}
	if len(different) < 2 {
		t.Error("the pauses are always the same")
	}
}

func TestWhatIsRefusedForGoodIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{fails: func(r *http.Request) (int, error, bool) {
			return map[string]int{"/plugins": http.StatusBadRequest}[r.URL.Path], nil, false
		}}
		changes, l := made(t, t.Context(), f, crowd(1))
		if changes.Count(Created) != 2 || changes.Count(Failed) != 1 || len(l.pauses) != 0 {
			t.Errorf("%s, %d pauses, want the plugin refused at once", lines(changes), len(l.pauses))
		}
	})
}

func TestAServiceThatCannotAnswerYetIsWaitedForAndOneThatIsNotThereIsNot(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		status       int
		broken       error
		back         time.Duration
		least, most  time.Duration
		wantsMistake bool
	}{
		{"back in time", http.StatusServiceUnavailable, nil, 20 * time.Second, 20 * time.Second, 35 * time.Second, false},
		{"not back in time", http.StatusServiceUnavailable, nil, time.Hour, patience, patience + 2*longestPause, true},
		{"not there", 0, &net.OpError{Op: "dial", Err: errors.New("connection refused")}, time.Hour, 0, 0, true},
		{"not allowed", http.StatusUnauthorized, nil, time.Hour, 0, 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, err := api.NewClient("http://service", "", &http.Client{Transport: outage(false, test.broken, test.status, test.back)})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = Await(t.Context(), client, &told{})
				if took := time.Since(began); took < test.least || took > test.most || (err != nil) != test.wantsMistake {
					t.Errorf("Await = %v after %s, want it after %s to %s", err, took, test.least, test.most)
				}
			})
		})
	}
}

func TestAnInterruptionEndsAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		changes, _ := made(t, ctx, outage(false, nil, http.StatusServiceUnavailable, time.Hour), crowd(1))
		if took := time.Since(began); took != 5*time.Second || changes.Count(Failed) != 3 {
			t.Errorf("%s after %s, want all failed after 5s", lines(changes), took)
		}
	})
}
