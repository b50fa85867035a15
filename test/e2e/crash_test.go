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

// A blade stands in front of Vault and cuts a replica off after a write: what the
// replica has not written by then it never writes, like one that has crashed.
type blade struct {
	vault http.Handler

	mu sync.Mutex
	// armed: so many writes more are let through.
	armed bool
	left  int
	// lands: the write that is cut off is done, and its answer is lost.
	lands bool
	fell  bool
	// done is called after each write, before it is answered, if it is set.
	done func(path string)
}

func newBlade(t *testing.T, vault string) (b *blade, address string) {
	t.Helper()
	target, err := url.Parse(vault)
	must(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	b = &blade{vault: proxy}
	srv := httptest.NewServer(b)
	t.Cleanup(srv.Close)
	return b, hostPort(srv.URL)
}

// arm lets so many writes through.
func (b *blade) arm(writes int, lands bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, b.left, b.lands, b.fell = true, writes, lands, false
}

// lift lets everything through again, and says whether anything was cut off.
func (b *blade) lift() (fell bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armed, fell, b.fell = false, b.fell, false
	return fell
}

// fate is what becomes of a request.
func (b *blade) fate(r *http.Request) (forward, answer bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.fell:
		return false, false
	case !b.armed || r.Method == http.MethodGet:
		return true, true
	case b.left == 0:
		b.fell = true
		return b.lands, false
	}
	b.left--
	return true, true
}

// ServeHTTP implements [http.Handler].
func (b *blade) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	forward, answer := b.fate(r)
	switch {
	case forward && answer:
		b.vault.ServeHTTP(&held{ResponseWriter: w, first: func() { b.isDone(r) }}, r)
		return
	case forward:
		b.vault.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
	}
	panic(http.ErrAbortHandler)
}

func (b *blade) isDone(r *http.Request) {
	b.mu.Lock()
	done := b.done
	b.mu.Unlock()
	if done != nil && r.Method != http.MethodGet {
		done(r.URL.Path)
	}
}

// watch has done called after each write from now on.
func (b *blade) watch(done func(path string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.done = done
}

// held does something before an answer begins.
type held struct {
	http.ResponseWriter
	first func()
}

// WriteHeader implements [http.ResponseWriter].
func (h *held) WriteHeader(status int) {
	h.first()
	h.ResponseWriter.WriteHeader(status)
}

// A blow is an admin call that is cut off after each of its writes.
type blow struct {
	name string
	// prepare makes what the call is about.
	prepare      func(t *testing.T, r *replica, id string)
	method, path string
	form         string
	// done are the statuses of the call, made again after the crash: it takes
	// effect, or has.
	done []int
	// names are names that must be neither blocked nor doubled afterwards.
	names func(t *testing.T, s *site, id string)
}

// vaultOfV2 is a vault object on the mount of version 2.
const vaultOfV2 = "tokens-v2"

func blows() []blow {
	consumer := func(t *testing.T, r *replica, id string) {
		t.Helper()
		r.admin(t, 201, "POST", "/consumers", "username="+id, "custom_id=c-"+id)
	}
	pair := func(t *testing.T, r *replica, id string) {
		t.Helper()
		r.admin(t, 201, "POST", "/vault-auth/"+vaultName+"/credentials/"+operator, "access_token="+id)
	}
	usernames := func(t *testing.T, s *site, id string) {
		t.Helper()
		for _, form := range []string{"username=" + id, "username=new-" + id, "custom_id=c-" + id} {
			s.oneHas(t, "/consumers", form)
		}
	}
	access := func(vault string) func(t *testing.T, s *site, id string) {
		return func(t *testing.T, s *site, id string) { t.Helper(); s.oneHasPair(t, vault, id) }
	}
	none := func(*testing.T, *replica, string) {}
	token := "/vault-auth/" + vaultName + "/credentials/token/ID"
	return []blow{
		{"create a consumer", none, "POST", "/consumers", "username=ID&custom_id=c-ID", []int{201, 409}, usernames},
		{"put a consumer", none, "PUT", "/consumers/ID", "custom_id=c-ID", []int{200}, usernames},
		{"rename a consumer", consumer, "PATCH", "/consumers/ID", "username=new-ID", []int{200, 404}, usernames},
		{"delete a consumer", consumer, "DELETE", "/consumers/ID", "", []int{204}, usernames},
		{"add a group", consumer, "POST", "/consumers/ID/acls", "group=g", []int{201, 409}, func(t *testing.T, s *site, id string) {
			t.Helper()
			s.oneHas(t, "/consumers/"+id+"/acls", "group=g")
		}},
		{"create a policy", none, "POST", "/policies", "name=ID&vault.name=" + vaultName + "&hosts=ID.test", []int{201, 409}, func(t *testing.T, s *site, id string) {
			t.Helper()
			s.oneHas(t, "/policies", "name="+id, "vault.name="+vaultName, "hosts="+id+".test")
		}},
		{"create a pair, v1", none, "POST", "/vault-auth/" + vaultName + "/credentials/" + operator, "access_token=ID&secret_token=of-ID", []int{201}, access(vaultName)},
		{"create a pair, v2", none, "POST", "/vault-auth/" + vaultOfV2 + "/credentials/" + operator, "access_token=ID&secret_token=of-ID", []int{201}, access(vaultOfV2)},
		{"rotate a pair", pair, "POST", token + "/rotate", "secret_token=next-ID", []int{201}, access(vaultName)},
		{"delete a pair", pair, "DELETE", token, "", []int{204, 404}, access(vaultName)},
	}
}

// call makes the call of a blow.
func (r *replica) call(ctx context.Context, b blow, id string) (reply, error) {
	var form []string
	if b.form != "" {
		form = strings.Split(strings.ReplaceAll(b.form, "ID", id), "&")
	}
	return r.do(ctx, b.method, strings.ReplaceAll(b.path, "ID", id), form...)
}

// A wreck is what a call was about that was cut off.
type wreck struct {
	blow
	id, when string
}

// maxStalls is how many calls may be unavailable that nobody cut off.
const maxStalls = 3

// TestNoCrashBlocksOrDoublesAName cuts admin calls off after each single write,
// on a real Vault, with the last one done and not.
func TestNoCrashBlocksOrDoublesAName(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1)
	r := s.replicas[0]
	blade, address := newBlade(t, s.vault.Address)
	s.proxy.SetTarget(address)
	s.furnish(t, mountV1, parts.KVv1)
	s.furnishV2(t)
	r.admin(t, 201, "POST", "/consumers", "username=another")

	var wrecks []wreck
	stalls := 0
	for i, b := range blows() {
		for _, lands := range []bool{false, true} {
			for writes := 0; ; writes++ {
				// Its id tells in every message which one it was.
				w := wreck{b, fmt.Sprintf("blow-%d-after-%d-done-%t-%d", i, writes, lands, stalls), fmt.Sprintf("%s, cut off after %d writes, the next one done: %t", b.name, writes, lands)}
				b.prepare(t, r, w.id)
				blade.arm(writes, lands)
				got, err := r.call(t.Context(), b, w.id)
				fell := blade.lift()
				if err != nil || got.status >= 500 && (got.status != http.StatusServiceUnavailable || got.text("message") == "") || got.status == http.StatusConflict {
					t.Fatalf("%s: status = %d, %v, want success or a 503 with a message; body %s", w.when, got.status, err, got.raw)
				}
				if !fell && got.status == http.StatusServiceUnavailable && stalls < maxStalls {
					// On a busy machine the server itself may be too slow for one.
					stalls++
					writes--
					wrecks = append(wrecks, w)
					continue
				}
				if !fell {
					if got.status >= 300 || writes == 0 {
						t.Errorf("%s: status = %d after all %d writes, want success after more; body %s", b.name, got.status, writes, got.raw)
					}
					break
				}
				wrecks = append(wrecks, w)
			}
		}
	}
	t.Logf("%d calls were cut off", len(wrecks))

	// A name may be blocked for as long as the call may be under way.
	time.Sleep(10 * time.Second)
	// Half of them are tried again, of the others the names are taken at once.
	together(len(wrecks), 16, func(i int) {
		w := wrecks[i]
		if i%2 == 0 {
			got, err := patiently(t.Context(), func() (reply, error) { return r.call(t.Context(), w.blow, w.id) })
			if err != nil || !slices.Contains(w.done, got.status) {
				t.Errorf("%s, and tried again: status = %d, %v, want one of %v; body %s", w.when, got.status, err, w.done, got.raw)
			}
		}
		w.names(t, s, w.id)
	})
	s.noNameTwice(t)
}

// furnishV2 makes a vault object on the mount of version 2, and waits until all
// replicas have it.
func (s *site) furnishV2(t *testing.T) {
	t.Helper()
	s.replicas[0].admin(t, 201, "POST", "/vault-auth", s.vaultForm(t, vaultOfV2, mountV2, parts.KVv2)...)
	for _, r := range s.replicas {
		partstest.Await(t, 10*time.Second, func(ctx context.Context) error {
			got, err := r.do(ctx, "GET", "/vault-auth/"+vaultOfV2+"/credentials")
			if err == nil && got.status != http.StatusOK {
				err = fmt.Errorf("%s: status %d: %s", r.name, got.status, got.raw)
			}
			return err
		})
	}
}

// patiently makes a call again for as long as the answer is that Vault did not
// answer in time, as the Retry-After of such an answer asks: with all of these
// calls at once, it may not.
func patiently(ctx context.Context, call func() (reply, error)) (reply, error) {
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

// oneHas makes an entity, twice: then one has its name, whoever had it before.
func (s *site) oneHas(t *testing.T, path string, form ...string) {
	t.Helper()
	r := s.replicas[0]
	for i := range 2 {
		got, err := patiently(t.Context(), func() (reply, error) { return r.do(t.Context(), "POST", path, form...) })
		switch {
		case err != nil:
			t.Error(err)
		case got.status == http.StatusConflict, got.status == http.StatusCreated && i == 0:
		// A consumer that is gone has no groups.
		case got.status == http.StatusNotFound && strings.HasSuffix(path, "/acls"):
		default:
			t.Errorf("POST %s %q: status = %d, want 201 once and 409 then; body %s", path, form, got.status, got.raw)
		}
	}
}

// oneHasPair makes a pair for another consumer, which is refused if there is one.
func (s *site) oneHasPair(t *testing.T, vault, access string) {
	t.Helper()
	r := s.replicas[0]
	credentials := "/vault-auth/" + vault + "/credentials"
	before, err := patiently(t.Context(), func() (reply, error) { return r.do(t.Context(), "GET", credentials+"/token/"+access) })
	if err != nil {
		t.Error(err)
		return
	}
	want := http.StatusCreated
	if before.status == http.StatusOK {
		want = http.StatusConflict
	}
	first := true
	got, err := patiently(t.Context(), func() (reply, error) {
		got, err := r.do(t.Context(), "POST", credentials+"/another", "access_token="+access)
		if !first && got.status == http.StatusConflict {
			// What was answered with 503 had been done.
			got.status = want
		}
		first = false
		return got, err
	})
	if err != nil || got.status != want {
		t.Errorf("POST of %s, which was answered with %d before: status = %d, %v, want %d; body %s", access, before.status, got.status, err, want, got.raw)
	}
}

// noNameTwice goes through all entities.
func (s *site) noNameTwice(t *testing.T) {
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
				t.Errorf("%s: there are %d of %s, want one", path, n, name)
			}
		}
	}
}

// TestAReplicaThatWasStoppedWithAHoldDoesNotWrite stops a replica when it has announced
// a change of a pair, on KV v1, has the pair deleted through the other one, and lets the
// first one go on.
func TestAReplicaThatWasStoppedWithAHoldDoesNotWrite(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	blade, address := newBlade(t, s.vault.Address)
	s.proxy.SetTarget(address)
	s.furnish(t, mountV1, parts.KVv1)
	stopped, other := s.replicas[0], s.replicas[1]
	const token = "/vault-auth/" + vaultName + "/credentials/token/stopped"
	stopped.admin(t, 201, "POST", "/vault-auth/"+vaultName+"/credentials/"+operator, "access_token=stopped")
	time.Sleep(time.Second) // until the log says that this is done

	var writes atomic.Int32
	reached := make(chan struct{})
	blade.watch(func(path string) {
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
