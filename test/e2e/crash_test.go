package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// A crashProxy stands in front of Vault and makes a replica appear to crash after a
// write: it drops all later requests.
type crashProxy struct {
	vault http.Handler

	mu sync.Mutex
	// armed says that the proxy crashes after left more writes.
	armed bool
	left  int
	// lastIsWritten says that Vault does the write at the crash. Its answer is lost
	// in either case.
	lastIsWritten bool
	crashed       bool
	// done, if it is set, is called after each write and before its answer.
	done func(path string)
}

func newCrashProxy(t *testing.T, vault string) (b *crashProxy, address string) {
	t.Helper()
	target, err := url.Parse(vault)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	b = &crashProxy{vault: proxy}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return b, hostPort(srv.URL)
}

// crashAfter makes the proxy crash after some more writes.
func (b *crashProxy) crashAfter(writes int, lastIsWritten bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, b.left, b.lastIsWritten, b.crashed = true, writes, lastIsWritten, false
}

// restore ends the crash and says whether there was one.
func (b *crashProxy) restore() (crashed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, crashed, b.crashed = false, b.crashed, false
	return crashed
}

// decide says whether a request is forwarded and whether it is answered.
func (b *crashProxy) decide(r *http.Request) (forward, answer bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.crashed:
		return false, false
	case !b.armed || r.Method == http.MethodGet:
		return true, true
	case b.left == 0:
		b.crashed = true
		return b.lastIsWritten, false
	}
	b.left--
	return true, true
}

// ServeHTTP implements [http.Handler].
func (b *crashProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	forward, answer := b.decide(r)
	switch {
	case forward && answer:
		b.vault.ServeHTTP(&hookedWriter{ResponseWriter: w, first: func() { b.written(r) }}, r)
		return
	case forward:
		b.vault.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	}
	panic(http.ErrAbortHandler)
}

func (b *crashProxy) written(r *http.Request) {
	b.mu.Lock()
	done := b.done
	b.mu.Unlock()
	if done != nil && r.Method != http.MethodGet {
		done(r.URL.Path)
	}
}

// onWrite sets the function that is called after each write.
func (b *crashProxy) onWrite(done func(path string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = done
}

// A hookedWriter calls a function before the answer begins.
type hookedWriter struct {
	http.ResponseWriter
	first func()
}

// WriteHeader implements [http.ResponseWriter].
func (h *hookedWriter) WriteHeader(status int) {
	h.first()
	h.ResponseWriter.WriteHeader(status)
}

// An interruptedCall is an admin call during which the replica crashes, once after
// each of its writes.
type interruptedCall struct {
	name string
	// prepare creates the entity that the call changes.
	prepare      func(t *testing.T, r *replica, id string)
	method, path string
	form         string
	// done are the expected statuses when the call is repeated after the crash: it
	// takes effect then, or took effect before.
	done []int
	// names checks the names that must be neither blocked nor given twice afterwards.
	names func(t *testing.T, s *deployment, id string)
}

// vaultOfV2 is the vault object on the mount of version 2.
const vaultOfV2 = "tokens-v2"

func interruptedCalls() []interruptedCall {
	consumer := func(t *testing.T, r *replica, id string) {
		t.Helper()
		r.admin(t, 201, "POST", "/consumers", "username="+id, "custom_id=c-"+id)
	}
	pair := func(t *testing.T, r *replica, id string) {
		t.Helper()
		r.admin(t, 201, "POST", "/vault-auth/"+vaultName+"/credentials/"+operator, "access_token="+id)
	}
	usernames := func(t *testing.T, s *deployment, id string) {
		t.Helper()
		for _, form := range []string{"username=" + id, "username=new-" + id, "custom_id=c-" + id} {
			s.checkTaken(t, "/consumers", form)
		}
	}
	access := func(vault string) func(t *testing.T, s *deployment, id string) {
		return func(t *testing.T, s *deployment, id string) { t.Helper(); s.checkPairTaken(t, vault, id) }
	}
	none := func(*testing.T, *replica, string) {}
	token := "/vault-auth/" + vaultName + "/credentials/token/ID"
	return []interruptedCall{
		{"create a consumer", none, "POST", "/consumers", "username=ID&custom_id=c-ID", []int{201, 409}, usernames},
		{"put a consumer", none, "PUT", "/consumers/ID", "custom_id=c-ID", []int{200}, usernames},
		{"rename a consumer", consumer, "PATCH", "/consumers/ID", "username=new-ID", []int{200, 404}, usernames},
		{"delete a consumer", consumer, "DELETE", "/consumers/ID", "", []int{204}, usernames},
		{"add a group", consumer, "POST", "/consumers/ID/acls", "group=g", []int{201, 409}, func(t *testing.T, s *deployment, id string) {
			t.Helper()
			s.checkTaken(t, "/consumers/"+id+"/acls", "group=g")
		}},
		{"create a policy", none, "POST", "/policies", "name=ID&vault.name=" + vaultName + "&hosts=ID.test", []int{201, 409}, func(t *testing.T, s *deployment, id string) {
			t.Helper()
			s.checkTaken(t, "/policies", "name="+id, "vault.name="+vaultName, "hosts="+id+".test")
		}},
		{"create a pair, v1", none, "POST", "/vault-auth/" + vaultName + "/credentials/" + operator, "access_token=ID&secret_token=of-ID", []int{201}, access(vaultName)},
		{"create a pair, v2", none, "POST", "/vault-auth/" + vaultOfV2 + "/credentials/" + operator, "access_token=ID&secret_token=of-ID", []int{201}, access(vaultOfV2)},
		{"rotate a pair", pair, "POST", token + "/rotate", "secret_token=next-ID", []int{201}, access(vaultName)},
		{"delete a pair", pair, "DELETE", token, "", []int{204, 404}, access(vaultName)},
	}
}

// call makes the call of an interruptedCall.
func (r *replica) call(ctx context.Context, b interruptedCall, id string) (reply, error) {
	var form []string
	if b.form != "" {
		form = strings.Split(strings.ReplaceAll(b.form, "ID", id), "&")
	}
	return r.do(ctx, b.method, strings.ReplaceAll(b.path, "ID", id), form...)
}

// A crash is an interrupted call with the entity that it was about.
type crash struct {
	interruptedCall
	id, when string
}

// maxStalls is how many calls may be answered with 503 without a crash.
const maxStalls = 3

// TestNoCrashBlocksOrDoublesAName lets replicas crash after each write of each admin
// call, on a real Vault, with the last write done and not done.
func TestNoCrashBlocksOrDoublesAName(t *testing.T) {
	t.Parallel()
	s := newDeployment(t, 1)
	r := s.replicas[0]
	proxy, address := newCrashProxy(t, s.vault.Address)
	s.proxy.SetTarget(address)
	s.createEntities(t, mountV1, parts.KVv1)
	s.createVaultV2(t)
	r.admin(t, 201, "POST", "/consumers", "username=another")

	var crashes []crash
	stalls := 0
	for i, b := range interruptedCalls() {
		for _, lastIsWritten := range []bool{false, true} {
			for writes := 0; ; writes++ {
				// The id identifies the call in every message.
				w := crash{b, fmt.Sprintf("call-%d-after-%d-done-%t-%d", i, writes, lastIsWritten, stalls), fmt.Sprintf("%s, crash after %d writes, the next one done: %t", b.name, writes, lastIsWritten)}
				b.prepare(t, r, w.id)
				proxy.crashAfter(writes, lastIsWritten)
				got, err := r.call(t.Context(), b, w.id)
				crashed := proxy.restore()
				if err != nil || got.status >= 500 && (got.status != http.StatusServiceUnavailable || got.text("message") == "") || got.status == http.StatusConflict {
					t.Fatalf("%s: status = %d, %v, want success or a 503 with a message; body %s", w.when, got.status, err, got.raw)
				}
				if !crashed && got.status == http.StatusServiceUnavailable && stalls < maxStalls {
					// On a busy machine the server itself may be too slow.
					stalls++
					writes--
					crashes = append(crashes, w)
					continue
				}
				if !crashed {
					if got.status >= 300 || writes == 0 {
						t.Errorf("%s: status = %d after all %d writes, want success after at least one; body %s", b.name, got.status, writes, got.raw)
					}
					break
				}
				crashes = append(crashes, w)
			}
		}
	}
	t.Logf("%d calls were interrupted by a crash", len(crashes))

	// A name may be blocked while its call may still be in flight.
	time.Sleep(10 * time.Second)
	// Half of the calls are repeated. The names of the others are taken at once.
	parallel(len(crashes), 16, func(i int) {
		w := crashes[i]
		if i%2 == 0 {
			got, err := retryUnavailable(t.Context(), func() (reply, error) { return r.call(t.Context(), w.interruptedCall, w.id) })
			if err != nil || !slices.Contains(w.done, got.status) {
				t.Errorf("%s, repeated: status = %d, %v, want one of %v; body %s", w.when, got.status, err, w.done, got.raw)
			}
		}
		w.names(t, s, w.id)
	})
	s.checkNamesUnique(t)
}

// createVaultV2 creates a vault object on the mount of version 2 and waits until all
// replicas know it.
func (s *deployment) createVaultV2(t *testing.T) {
	t.Helper()
	s.replicas[0].admin(t, 201, "POST", "/vault-auth", s.vaultForm(t, vaultOfV2, mountV2, parts.KVv2)...)
	for _, r := range s.replicas {
		partstest.Await(t, 30*time.Second, func(ctx context.Context) error {
			got, err := r.do(ctx, "GET", "/vault-auth/"+vaultOfV2+"/credentials")
			if err == nil && got.status != http.StatusOK {
				err = fmt.Errorf("%s: status %d: %s", r.name, got.status, got.raw)
			}
			return err
		})
	}
}

// retryUnavailable repeats a call while it is answered with 503, as Retry-After asks.
// With many calls at once, Vault may be too slow.
func retryUnavailable(ctx context.Context, call func() (reply, error)) (reply, error) {
	for end := time.Now().Add(20 * time.Second); ; {
		got, err := call()
		if err != nil || got.status != http.StatusServiceUnavailable || time.Now().After(end) {
			return got, err
		}
		select {
		case <-ctx.Done():
			return got, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// checkTaken creates an entity twice. The second call must be refused, the first one
// may be.
func (s *deployment) checkTaken(t *testing.T, path string, form ...string) {
	t.Helper()
	r := s.replicas[0]
	for i := range 2 {
		got, err := retryUnavailable(t.Context(), func() (reply, error) { return r.do(t.Context(), "POST", path, form...) })
		switch {
		case err != nil:
			t.Error(err)
		case got.status == http.StatusConflict, got.status == http.StatusCreated && i == 0:
		// A consumer that was deleted has no groups.
		case got.status == http.StatusNotFound && strings.HasSuffix(path, "/acls"):
		default:
			t.Errorf("POST %s %q: status = %d, want 201 and then 409; body %s", path, form, got.status, got.raw)
		}
	}
}

// checkPairTaken creates a pair for another consumer, which must be refused if the
// access token exists.
func (s *deployment) checkPairTaken(t *testing.T, vault, access string) {
	t.Helper()
	r := s.replicas[0]
	credentials := "/vault-auth/" + vault + "/credentials"
	before, err := retryUnavailable(t.Context(), func() (reply, error) { return r.do(t.Context(), "GET", credentials+"/token/"+access) })
	if err != nil {
		t.Error(err)
		return
	}
	want := http.StatusCreated
	if before.status == http.StatusOK {
		want = http.StatusConflict
	}
	first := true
	got, err := retryUnavailable(t.Context(), func() (reply, error) {
		got, err := r.do(t.Context(), "POST", credentials+"/another", "access_token="+access)
		if !first && got.status == http.StatusConflict {
			// The call that was answered with 503 had created it.
			got.status = want
		}
		first = false
		return got, err
	})
	if err != nil || got.status != want {
		t.Errorf("POST of %s, for which GET answered %d before: status = %d, %v, want %d; body %s", access, before.status, got.status, err, want, got.raw)
	}
}

// checkNamesUnique compares the names of all entities.
func (s *deployment) checkNamesUnique(t *testing.T) {
	t.Helper()
	for path, fields := range map[string][]string{"/consumers": {"username", "custom_id"}, "/policies": {"name"}} {
		counts := map[string]int{}
		for _, e := range s.all(t, path) {
			for _, field := range fields {
				if name, _ := e[field].(string); name != "" {
					counts[field+" "+name]++
				}
			}
		}
		for name, n := range counts {
			if n != 1 {
				t.Errorf("%s: %d entities have the %s, want 1", path, n, name)
			}
		}
	}
}

// TestAReplicaThatIsStoppedDuringARotationDoesNotUndoADeletion stops a replica after it
// has announced a rotation on KV v1, deletes the pair through the other replica, and lets
// the first one continue.
func TestAReplicaThatIsStoppedDuringARotationDoesNotUndoADeletion(t *testing.T) {
	t.Parallel()
	s := newDeployment(t, 2)
	proxy, address := newCrashProxy(t, s.vault.Address)
	s.proxy.SetTarget(address)
	s.createEntities(t, mountV1, parts.KVv1)
	stopped, other := s.replicas[0], s.replicas[1]
	const token = "/vault-auth/" + vaultName + "/credentials/token/stopped"
	stopped.admin(t, 201, "POST", "/vault-auth/"+vaultName+"/credentials/"+operator, "access_token=stopped")
	time.Sleep(time.Second) // until the log has the end of this change

	var writes atomic.Int32
	reached := make(chan struct{})
	proxy.onWrite(func(path string) {
		if strings.Contains(path, "/data/log/") && writes.Add(1) == 1 {
			if err := stopped.Signal(syscall.SIGSTOP); err != nil {
				t.Error(err)
			}
			close(reached)
		}
	})
	rotated := make(chan reply, 1)
	go func() {
		got, err := stopped.do(t.Context(), "POST", token+"/rotate", "grace=60")
		if err != nil {
			t.Error(err)
		}
		rotated <- got
	}()
	<-reached
	began := time.Now()
	other.admin(t, 204, "DELETE", token)
	took := time.Since(began)
	must(t, stopped.Signal(syscall.SIGCONT))
	got := <-rotated
	if got.status != http.StatusNotFound && got.status != http.StatusServiceUnavailable {
		t.Errorf("the rotation: status = %d, want 404 or 503; body %s", got.status, got.raw)
	}
	time.Sleep(time.Second)
	for _, r := range s.replicas {
		r.insist(t, 404, "GET", token)
	}
	t.Logf("the deletion took %s, the rotation was answered with %d", took, got.status)
}
