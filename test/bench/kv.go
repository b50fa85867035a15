package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What the requests and the records in the store are made of.
const (
	accessToken = "v3cOV1jWglS0PFOrTcdr85bs1GP0e2yM"
	secretToken = "11XYyybbu3Ty0Qt4ImIshPGQ0WsvjLzl"
	consumerID  = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	vaultToken  = "hvs.bench"
	mount       = "kong-auth"
)

// Access tokens with these prefixes have records too: any number of them, and
// one whose record takes a moment to come.
const (
	manyPrefix = "many-"
	slowPrefix = "slow-"
	slowness   = 500 * time.Millisecond
)

// A kv is what vault-authz sees of a Vault with one KV v1 mount: enough to serve
// credentials, at no cost that would be seen beside the servers, and able to
// count reads. The real Vault has no part in a cached check, and is slower.
type kv struct {
	server *http.Server
	// Address is its URL.
	Address string
	slow    atomic.Int64
	reads   inFlight
	// served are the access tokens that were found, for the list of the mount.
	served sync.Map
}

func startKV(ctx context.Context) (*kv, error) {
	ln, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	k := &kv{Address: "http://" + ln.Addr().String()}
	k.server = &http.Server{Handler: k, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = k.server.Serve(ln) }()
	return k, nil
}

// listen listens on a free port on loopback.
func listen(ctx context.Context) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
}

// slowReads returns how many reads of slow records there were.
func (k *kv) slowReads() int { return int(k.slow.Load()) }

// watchReads begins to count reads; what it returns tells how many there have been, and the
// most at once.
func (k *kv) watchReads() func() (all, most int) {
	k.reads.reset()
	return k.reads.figures
}

// inFlight counts what is under way. It is safe for concurrent use.
type inFlight struct {
	mu             sync.Mutex
	now, most, all int
}

func (f *inFlight) begin() (end func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now++
	f.all++
	f.most = max(f.most, f.now)
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now--
	}
}

func (f *inFlight) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all, f.most = 0, f.now
}

func (f *inFlight) figures() (all, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.all, f.most
}

func (k *kv) close() { _ = k.server.Close() }

// ServeHTTP implements [http.Handler].
func (k *kv) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Vault-Token") != vaultToken {
		answer(w, http.StatusForbidden, map[string]any{"errors": []string{"permission denied"}})
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	key, ofMount := strings.CutPrefix(path, mount+"/")
	switch {
	case path == "sys/internal/ui/mounts/"+mount:
		answer(w, http.StatusOK, map[string]any{"data": map[string]any{"type": "kv", "options": map[string]string{"version": "1"}}})
	case path == "auth/token/lookup-self":
		answer(w, http.StatusOK, map[string]any{"data": map[string]any{"ttl": 0, "renewable": false, "type": "service", "expire_time": nil}})
	case r.Method == "LIST", r.URL.Query().Get("list") == "true":
		keys := []string{}
		k.served.Range(func(key, _ any) bool {
			keys = append(keys, key.(string))
			return true
		})
		answer(w, http.StatusOK, map[string]any{"data": map[string]any{"keys": keys}})
	case !ofMount || r.Method != http.MethodGet:
		answer(w, http.StatusNotFound, map[string]any{"errors": []string{}})
	default:
		k.read(w, key)
	}
}

func (k *kv) read(w http.ResponseWriter, key string) {
	defer k.reads.begin()()
	slow := strings.HasPrefix(key, slowPrefix)
	if slow {
		k.slow.Add(1)
		time.Sleep(slowness)
	}
	if key != accessToken && !slow && !strings.HasPrefix(key, manyPrefix) {
		answer(w, http.StatusNotFound, map[string]any{"errors": []string{}})
		return
	}
	k.served.Store(key, nil)
	answer(w, http.StatusOK, map[string]any{"lease_duration": 2764800, "data": map[string]any{
		"access_token": key, "secret_token": secretToken, "consumer": map[string]string{"id": consumerID},
		"created_at": 1587034822, "updated_at": 1587034822,
	}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
