package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/test/parts"
	"github.com/vault-authz/vault-authz/test/parts/partstest"
)

// TestRehashUnderTraffic changes over a mount of thousands of records in clear text, with
// the policies of deploy/vault, while clients use them and others rotate: no request is
// denied, no rotation is lost, and no secret is left in clear text, on KV v2 not in an
// earlier version either.
func TestRehashUnderTraffic(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		writePolicies(t, v)
		eachKV(t, v, func(t *testing.T, kv string) {
			t.Helper()
			files := []string{"kv-" + kv, "manage-" + kv, "state"}
			if kv == parts.KVv2 {
				files = append(files, "destroy-v2")
			}
			r := newRehash(t, managedService{vault: v, kv: kv, main: tokenSources[0].configure(t, v, files), secrets: "hashed"}, 2000)
			r.run(t)
		})
		t.Run("a folder in a mount", func(t *testing.T) {
			const folder = "team-a/credentials"
			must(t, v.Mount(t.Context(), mountV1, parts.KVv2))
			files := []string{"kv-v2", "manage-v2", "destroy-v2"}
			for i, name := range files {
				files[i] = "folder-" + name
				putPolicy(t, v, files[i], inFolder(t, name+".hcl", mountV1, folder))
			}
			r := newRehash(t, managedService{vault: v, kv: parts.KVv2, prefix: folder, main: tokenSources[0].configure(t, v, append(files, "state")), secrets: "hashed"}, 50)
			r.run(t)
		})
	})
}

// A rehash is a mount of records that other programs wrote in clear text, and a service that
// writes hashes.
type rehash struct {
	managedService
	consumer string
	pairs    []pair
	binary   string
}

func newRehash(t *testing.T, m managedService, n int) *rehash {
	t.Helper()
	r := &rehash{managedService: m}
	var err error
	r.binary, err = suite.service.Build()
	must(t, err)
	r.start(t)
	r.consumer = r.replica.admin(t, 201, "POST", "/consumers", "username="+freshName("consumer")).text("id")
	// What Mount leaves there is no credential, and would be reported.
	must(t, m.vault.Delete(t.Context(), mountV1, m.kv, "mount-check"))
	r.pairs = make([]pair, n)
	parallel(n, 8, func(i int) {
		r.pairs[i] = pair{unique("access"), unique("secret")}
		if err := r.put(t.Context(), r.pairs[i]); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rehash) key(access string) string { return path.Join(r.prefix, access) }

// put writes a record in clear text, as Kong and people do.
func (r *rehash) put(ctx context.Context, p pair) error {
	return r.vault.Put(ctx, mountV1, r.kv, r.key(p.access), map[string]any{
		"access_token": p.access, "secret_token": p.secret, "consumer": map[string]any{"id": r.consumer}, "ttl": 3600,
	})
}

// command runs a command of the admin API and returns its output as JSON.
func (r *rehash) command(ctx context.Context, args ...string) (out map[string]any, errs string, err error) {
	cmd := exec.CommandContext(ctx, r.binary, append(args, "--admin", "http://"+r.replica.Admin, "-o", "json")...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		err = fmt.Errorf("%q: %w\n%s%s", args, err, raw, stderr.String())
	}
	return out, stderr.String(), err
}

// use asks about pairs again and again until stop is called, which returns how often. Each
// must be allowed.
func (r *rehash) use(t *testing.T, pairs []pair) (stop func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Go(func() {
			for i := worker; ctx.Err() == nil; i += 2 {
				a, err := r.replica.askPolicy(ctx, managedPolicy, pairs[i%len(pairs)])
				switch {
				case ctx.Err() != nil:
				case err != nil:
					t.Error(err)
					return
				case !a.Allowed && a.Status != http.StatusServiceUnavailable: // the server may be too busy for a read
					t.Errorf("a request is denied during the rehash: %d, reason %q", a.Status, a.Reason)
					return
				}
				asked.Add(1)
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func() int64 {
		cancel()
		wg.Wait()
		return asked.Load()
	}
}

// rotate rotates pairs one after the other until stop is called, which returns those that
// are good afterwards: through the API, and on KV v2 also by hand, which check-and-set
// protects.
func (r *rehash) rotate(t *testing.T, pairs []pair) (stop func() []pair) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	now := slices.Clone(pairs)
	wg.Go(func() {
		for i := range now {
			if ctx.Err() != nil {
				return
			}
			if i%2 == 1 && r.kv == parts.KVv2 {
				next := pair{now[i].access, unique("secret")}
				if err := r.put(t.Context(), next); err != nil {
					t.Error(err)
					return
				}
				now[i] = next
				continue
			}
			got, err := r.replica.do(t.Context(), "POST", "/vault-auth/main/credentials/token/"+now[i].access+"/rotate")
			if err != nil || got.status != 201 && got.status != 409 {
				t.Errorf("a rotation during the rehash: %d %s %v", got.status, got.raw, err)
				return
			}
			if got.status == 201 {
				now[i].secret = got.text("data.secret_token")
			}
		}
	})
	return func() []pair {
		cancel()
		wg.Wait()
		return now
	}
}

func (r *rehash) run(t *testing.T) {
	t.Helper()
	// What was deleted by hand can be brought back on KV v2, with its secret.
	deleted := pair{unique("access"), unique("secret")}
	must(t, r.put(t.Context(), deleted))
	if r.kv == parts.KVv2 {
		must(t, r.vault.Do(t.Context(), "DELETE", mountV1+"/data/"+r.key(deleted.access), nil, nil))
	} else {
		must(t, r.vault.Delete(t.Context(), mountV1, r.kv, r.key(deleted.access)))
	}
	made := r.replica.admin(t, 201, "POST", "/vault-auth/main/credentials", "consumer="+r.consumer)
	mixed := append(r.pairs, pair{made.text("data.access_token"), made.text("data.secret_token")})
	rotating, used := mixed[:len(mixed)/10], mixed[len(mixed)/10:]
	for _, p := range used[:10] {
		r.answers(t, p, http.StatusOK)
	}
	stopUsing, stopRotating := r.use(t, used), r.rotate(t, rotating)

	// An interruption loses nothing.
	interrupted, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	_, _, err := r.command(interrupted, "credential", "rehash", "--yes")
	cancel()
	if interrupted.Err() == nil || err == nil {
		t.Logf("the first run ended before it could be interrupted: %v", err)
	}
	began := time.Now()
	out, errs, err := r.command(t.Context(), "credential", "rehash", "--yes")
	must(t, err)
	t.Logf("%d records beside %d requests in %s: %v", len(mixed), stopUsing(), time.Since(began).Round(time.Millisecond), out)
	if toldOfVersions := strings.Contains(errs, "Earlier versions"); toldOfVersions != (r.kv == parts.KVv2) {
		t.Errorf("told of earlier versions = %t on KV %s: %s", toldOfVersions, r.kv, errs)
	}
	rotated := stopRotating()

	// What was written by hand after its turn.
	out, _, err = r.command(t.Context(), "credential", "rehash", "--yes", "--destroy-old-versions")
	must(t, err)
	if out["unusable"] != nil || out["failed"] != nil {
		t.Errorf("the last run: %v", out)
	}
	out, _, err = r.command(t.Context(), "credential", "rehash", "--yes", "--destroy-old-versions")
	must(t, err)
	if out["hashed"] != 0.0 || out["versions_destroyed"] != 0.0 {
		t.Errorf("once more: %v, want nothing to be done", out)
	}
	r.replica.admin(t, 200, "GET", "/vault-auth/main/credentials")
	parallel(len(mixed), 8, func(i int) {
		p := mixed[i]
		if i < len(rotated) {
			p = rotated[i]
		}
		if err := r.checkHashed(t.Context(), p); err != nil {
			t.Error(err)
		}
	})
	// Many bad secrets at once would be a 503: each is read again.
	for _, p := range append(rotated[:min(len(rotated), 20)], used[:min(len(used), 20)]...) {
		// What was put by hand is noticed at its first use.
		r.answers(t, p, http.StatusOK)
		hash := sha256.Sum256([]byte(p.secret))
		r.answers(t, pair{p.access, p.secret + "x"}, http.StatusUnauthorized)
		r.answers(t, pair{p.access, hex.EncodeToString(hash[:])}, http.StatusUnauthorized)
	}
	if r.kv == parts.KVv2 {
		if err := r.checkNoOldVersions(t.Context(), deleted, 2); err != nil {
			t.Error(err)
		}
	}
}

// checkHashed reads a record and expects the hash of the secret, in the only version that
// is left.
func (r *rehash) checkHashed(ctx context.Context, p pair) error {
	at := mountV1 + "/" + r.key(p.access)
	if r.kv == parts.KVv2 {
		at = mountV1 + "/data/" + r.key(p.access)
	}
	var answer struct {
		Data map[string]any `json:"data"`
	}
	if err := r.vault.Do(ctx, "GET", at, nil, &answer); err != nil {
		return err
	}
	d, version := answer.Data, 1
	if r.kv == parts.KVv2 {
		metadata, _ := d["metadata"].(map[string]any)
		n, _ := metadata["version"].(float64)
		version = int(n)
		d, _ = d["data"].(map[string]any)
	}
	hash := sha256.Sum256([]byte(p.secret))
	if d["secret_token_sha256"] != hex.EncodeToString(hash[:]) || d["secret_token"] != nil || d["previous_secret_token"] != nil {
		return errors.New("a record has not the hash of the secret that is good, or has a secret in clear text")
	}
	if r.kv == parts.KVv2 {
		return r.checkNoOldVersions(ctx, p, version)
	}
	return nil
}

// checkNoOldVersions expects the versions before one to be destroyed.
func (r *rehash) checkNoOldVersions(ctx context.Context, p pair, before int) error {
	var answer struct {
		Data struct {
			Versions map[string]struct{ Destroyed bool } `json:"versions"`
		} `json:"data"`
	}
	if err := r.vault.Do(ctx, "GET", mountV1+"/metadata/"+r.key(p.access), nil, &answer); err != nil {
		return err
	}
	for n := 1; n < before; n++ {
		if v, there := answer.Data.Versions[fmt.Sprint(n)]; there && !v.Destroyed {
			return fmt.Errorf("version %d of %d is not destroyed", n, before)
		}
	}
	return nil
}

// TestEachPathOfThePolicyForDestroyingIsNeeded removes one path at a time: the call must say
// which one is missing.
func TestEachPathOfThePolicyForDestroyingIsNeeded(t *testing.T) {
	t.Parallel()
	partstest.OnEachServer(t, func(t *testing.T, v *parts.Vault) {
		t.Helper()
		writePolicies(t, v)
		must(t, v.Mount(t.Context(), mountState, parts.KVv2))
		must(t, v.Mount(t.Context(), mountV1, parts.KVv2))
		destroying := readText(t, deployVault+"destroy-v2.hcl")
		putPolicy(t, v, "destroying", destroying)
		r := newRehash(t, managedService{vault: v, kv: parts.KVv2, main: tokenSources[0].configure(t, v, []string{"kv-v2", "manage-v2", "destroying", "state"}), secrets: "hashed"}, 1)
		for missing, rest := range withoutEach(t, destroying, 2) {
			must(t, r.put(t.Context(), r.pairs[0]))
			putPolicy(t, v, "destroying", rest)
			got := r.replica.admin(t, 200, "POST", "/vault-auth/main/rehash", "destroy_old_versions=true")
			if !strings.Contains(got.raw, `path \"`+missing+`\" { capabilities =`) {
				t.Errorf("without %s: %s", missing, got.raw)
			}
			putPolicy(t, v, "destroying", destroying)
			partstest.Await(t, 20*time.Second, func(ctx context.Context) error {
				got, err := r.replica.do(ctx, "POST", "/vault-auth/main/rehash", "destroy_old_versions=true")
				if err == nil && strings.Contains(got.raw, "failed") {
					err = errors.New(got.raw)
				}
				return err
			})
		}
	})
}

// forClient is what a client can tell answers apart by, and the reason.
func forClient(a envoy.Answer) envoy.Answer {
	a.Body = regexp.MustCompile(`"request_id":"[^"]*"`).ReplaceAllString(a.Body, "")
	return a
}

// TestRecognisableTokens makes and uses tokens with a prefix beside others, and mistypes
// them.
func TestRecognisableTokens(t *testing.T) {
	t.Parallel()
	v := partstest.StartVault(t)
	writePolicies(t, v)
	must(t, v.Mount(t.Context(), mountState, parts.KVv2))
	must(t, v.Mount(t.Context(), mountV1, parts.KVv2))
	const prefix = authz.TokenPrefix("va_live")
	r := newRehash(t, managedService{
		vault: v, kv: parts.KVv2, main: tokenSources[0].configure(t, v, []string{"kv-v2", "manage-v2", "state"}),
		secrets: "hashed", tokenPrefix: string(prefix), sweep: "0s",
	}, 1)
	const credentials = "/vault-auth/main/credentials"
	made := r.replica.admin(t, 201, "POST", credentials, "consumer="+r.consumer)
	p := pair{made.text("data.access_token"), made.text("data.secret_token")}
	if !strings.HasPrefix(p.access, "va_live_access_") || !strings.HasPrefix(p.secret, "va_live_secret_") || prefix.Mistyped(p.access) {
		t.Errorf("got the pair %q", p)
	}
	suite.secrets.add(p.access)
	r.answers(t, p, http.StatusOK)
	p.secret = r.replica.admin(t, 201, "POST", credentials+"/token/"+p.access+"/rotate").text("data.secret_token")
	if !strings.HasPrefix(p.secret, "va_live_secret_") {
		t.Errorf("a rotation gives the secret %q", p.secret)
	}
	r.answers(t, p, http.StatusOK)
	r.answers(t, r.pairs[0], http.StatusOK) // without the prefix
	r.replica.admin(t, 400, "POST", credentials, "consumer="+r.consumer, "access_token=va_live_access_mine")

	reads := func() float64 {
		all, err := r.replica.Metrics(t.Context())
		must(t, err)
		n, _ := all.Sum("vault_authz_vault_read_duration_seconds_count")
		return n
	}
	before := reads()
	unknown, err := r.replica.askPolicy(t.Context(), managedPolicy, pair{prefix.AccessToken(strings.Repeat("0", authz.RandomLength)), p.secret})
	must(t, err)
	if reads() == before {
		t.Error("an unknown token is answered without a read of Vault")
	}
	before = reads()
	for _, access := range []string{p.access[:len(p.access)-1] + "~", p.access + "0", p.access[:len(p.access)-1], "va_live_access_", p.secret} {
		a, err := r.replica.askPolicy(t.Context(), managedPolicy, pair{access, p.secret})
		must(t, err)
		if diff := cmp.Diff(forClient(unknown), forClient(a)); diff != "" {
			t.Errorf("answers to an unknown token (-) and to a mistyped one (+):\n%s", diff)
		}
	}
	if after := reads(); after != before {
		t.Errorf("mistyped tokens were read from Vault: %v reads, %v before", after, before)
	}
}
