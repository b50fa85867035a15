package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/kvpath"
	"github.com/vault-authz/vault-authz/internal/state"
)

// limitFields are what can be changed of a credential without a new secret.
var limitFields = slices.DeleteFunc(api.FieldsOf(api.Credential{}), func(f api.Field) bool { return !f.Limit })

// rotationFields are what a rotation can be asked for with.
var rotationFields = api.FieldsOf(api.Rotation{Grace: new(int64(api.DefaultGrace))})

// newCredentialFields are what a credential can be created with.
var newCredentialFields = slices.DeleteFunc(api.FieldsOf(api.Credential{}), func(f api.Field) bool { return f.Answer })

// byGrammar has tokens checked by the grammar of the configuration and by what the vault
// object says about them.
func (a *API) byGrammar(fields []api.Field, p *place) []api.Field {
	fields = slices.Clone(fields)
	for i := range fields {
		switch fields[i].Name {
		case "access_token":
			fields[i].Check = func(s string) string {
				problem := checkAccessToken(a.cfg.Grammar, s)
				if problem == "" && p.prefix().Mistyped(s) {
					problem = "begins like one that is made for this vault object, and its checksum is wrong; leave it out to get a random one, or begin it in another way"
				}
				return problem
			}
		case currentSecret:
			fields[i].Check = func(s string) string {
				problem := checkSecretToken(a.cfg.Grammar, s)
				if problem == "" && p.hashed() {
					problem = checkHashable(s)
				}
				return problem
			}
		}
	}
	return fields
}

// A place is one credential: where it is kept and under which key.
type place struct {
	vault stored
	store CredentialStore
	key   string
	// raw is the record as it was read or written last.
	raw []byte
	// version is what was read, where there are versions; gone says that nothing was found.
	version int
	gone    bool
	// commit makes a write under the lease of the call, see [Leases].
	commit func(ctx context.Context, write func(context.Context) error) error
	// sync makes later reads current, where the server is that of the state.
	sync func(context.Context) error
}

// versioned is the store if it has versions.
func (p *place) versioned() (VersionedCredentialStore, bool) {
	s, ok := p.store.(VersionedCredentialStore)
	return s, ok && p.vault.text("kv") == api.KV2
}

// prefix is that of the tokens that are made for the vault object.
func (p *place) prefix() authz.TokenPrefix { return authz.TokenPrefix(p.vault.text("token_prefix")) }

func (p *place) change() state.Change {
	return state.Change{Kind: state.KindCredentials, ID: p.key, Vault: p.vault.id()}
}

func (a *API) credentialsOf(ctx context.Context, vault stored) (CredentialStore, error) {
	store, err := a.deps.Vaults.Credentials(ctx, vault.id(), vault.version)
	if err != nil {
		return nil, notConnected(vault, err)
	}
	return store, nil
}

// notConnected is the error of [Vaults] for a vault object that exists.
func notConnected(vault stored, err error) error {
	if errors.Is(err, authz.ErrNotFound) {
		// This replica has not opened it yet, or it has changed meanwhile.
		return fmt.Errorf("vault object %q is not connected: %w", vault.text("name"), authz.ErrUnavailable)
	}
	return unavailable(err)
}

// place finds the vault object of the path. The key is checked by the caller.
func (a *API) place(c *call) (place, error) {
	vault, err := a.find(a.vaults, c.param("vault"))
	if err != nil {
		return place{}, err
	}
	store, err := a.credentialsOf(c.ctx, vault)
	return place{vault: vault, store: store, key: c.param("access_token")}, err
}

// existing is place for a credential that the path names.
func (a *API) existing(c *call) (place, error) {
	p, err := a.place(c)
	if err == nil && !kvpath.IsSegment(p.key) {
		err = authz.ErrNotFound
	}
	return p, err
}

// read returns the document of a credential, nil if there is none.
func (p *place) read(ctx context.Context) (document, error) {
	var raw []byte
	var found bool
	var err error
	if s, ok := p.versioned(); ok {
		raw, p.version, found, err = s.ReadVersion(ctx, p.key)
	} else {
		raw, found, err = p.store.Read(ctx, p.key)
	}
	p.gone = errors.Is(err, authz.ErrNotFound) || err == nil && !found
	switch {
	case p.gone:
		return nil, nil
	case err != nil:
		return nil, unavailable(err)
	}
	p.raw = raw
	d, err := decodeDocument(raw)
	if err != nil {
		return nil, notCredential()
	}
	return d, nil
}

// write writes over what was read.
func (p *place) write(ctx context.Context, raw []byte) error {
	return p.commit(ctx, func(ctx context.Context) error {
		s, versions := p.versioned()
		if !versions {
			if err := p.store.Write(ctx, p.key, raw); err != nil {
				return unavailable(err)
			}
			return nil
		}
		_, written, err := s.WriteVersion(ctx, p.key, raw, p.version)
		if err == nil && !written {
			written, err = p.holds(ctx, s, raw)
		}
		switch {
		case err != nil:
			return unavailable(err)
		case !written:
			return state.ErrConflict
		}
		return nil
	})
}

// holds reports whether a refused write was made after all: a node that lost its leader
// may have forwarded the write and refused its repetition. Writing again would rotate
// twice. Its error means that this is not known: false is a proof.
func (p *place) holds(ctx context.Context, s VersionedCredentialStore, raw []byte) (bool, error) {
	if err := p.sync(ctx); err != nil {
		return false, err
	}
	now, version, found, err := s.ReadVersion(ctx, p.key)
	if errors.Is(err, authz.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return false, err
	}
	if found {
		theirs, err := decodeDocument(now)
		ours, problem := decodeDocument(raw)
		if err == nil && problem == nil && reflect.DeepEqual(theirs, ours) {
			return true, nil
		}
	}
	// The next version is of somebody else, or the record was deleted with all versions.
	// Any other version may come from a node that lags, or hide the write.
	if found && version == p.version+1 || version == 0 && p.version > 0 {
		return false, nil
	}
	return false, errors.New("the store refused a write, and it does not show whether the write was made")
}

// delete deletes the credential, whatever version was read.
func (p *place) delete(ctx context.Context) error {
	return p.commit(ctx, func(ctx context.Context) error {
		if err := p.store.Delete(ctx, p.key); err != nil && !errors.Is(err, authz.ErrNotFound) {
			return unavailable(err)
		}
		return nil
	})
}

// alone runs do while it holds the lease of the credential among all replicas, and again
// if the credential was changed all the same.
func (a *API) alone(c *call, p *place, do func() (reply, error)) (reply, error) {
	defer a.lock(p)()
	var answer reply
	var err error
	for range attempts {
		err = a.deps.Leases.LeaseCredential(c.ctx, p.key, func(commit func(context.Context, func(context.Context) error) error) error {
			p.commit, p.sync = commit, a.deps.Store.Refresh
			var err error
			answer, err = do()
			return err
		})
		if !errors.Is(err, state.ErrConflict) {
			break
		}
	}
	return answer, err
}

// aloneWith is alone for a credential that must exist.
func (a *API) aloneWith(c *call, p *place, do func(old document) (reply, error)) (reply, error) {
	return a.alone(c, p, func() (reply, error) {
		old, err := p.present(c.ctx)
		if err != nil {
			return reply{}, err
		}
		return do(old)
	})
}

// present reads a credential that must exist.
func (p *place) present(ctx context.Context) (document, error) {
	d, err := p.read(ctx)
	if err == nil && d == nil {
		err = authz.ErrNotFound
	}
	return d, err
}

// lock lets one call of this replica at a time compete for a lease.
func (a *API) lock(p *place) (unlock func()) {
	l := &a.tokens[maphash.String(a.seed, p.key)%uint64(len(a.tokens))]
	l.Lock()
	return l.Unlock
}

func (a *API) createCredential(c *call) (reply, error) {
	p, err := a.place(c)
	if err != nil {
		return reply{}, err
	}
	v := violations{}
	in := typed(a.byGrammar(newCredentialFields, &p), c.input.values, c.input.form, document{}, v, "")
	if c.param("consumer") != "" {
		in["consumer"] = document{"username": c.param("consumer")}
	} else if in["consumer"] == nil && len(v) == 0 {
		v.add("consumer", "required field missing")
	}
	p.checkPair(in.text("access_token"), in.text(currentSecret), v)
	if err := v.err(); err != nil {
		return reply{}, err
	}
	ref := in.record("consumer")
	consumer, err := a.find(a.consumers, ref.text("id")+ref.text("username"))
	if err != nil {
		return reply{}, err
	}
	in["consumer"] = document{"id": consumer.id()}
	if p.key = in.text("access_token"); p.key == "" {
		p.key = p.prefix().AccessToken(newToken())
	}
	in["access_token"] = p.key
	// Kong has an upsert if the path names the consumer. A secret in the call replaces
	// the stored one; without a secret in the call, the stored one stays.
	replaces := c.param("consumer") != "" && in[currentSecret] != nil
	if in[currentSecret] == nil {
		in[currentSecret] = p.prefix().SecretToken(newToken())
	}
	return a.alone(c, &p, func() (reply, error) { return a.upsertCredential(c, &p, in, replaces) })
}

// upsertCredential replaces a credential of the same consumer only. It replaces another
// secret, which stops working at once, only if the call asks for that. Limits that are
// not given stay: creating again must not enable a disabled credential.
func (a *API) upsertCredential(c *call, p *place, in document, replaces bool) (reply, error) {
	old, err := p.read(c.ctx)
	if err != nil {
		return reply{}, err
	}
	now := time.Now().Unix()
	d := document{"created_at": now}
	action := "create"
	if old != nil {
		if !strings.EqualFold(old.record("consumer").text("id"), in.record("consumer").text("id")) {
			return reply{}, constraint{fields: map[string]any{"access_token": p.key}}.err()
		}
		if !replaces && !old.hasSecret(in.text(currentSecret)) {
			return reply{}, credentialExists()
		}
		d, action = maps.Clone(old), "update"
		d.forget(currentSecret)
		d.forget(previousSecret)
		delete(d, "previous_expires_at")
	}
	set(d, in, c.input.values)
	d["updated_at"] = now
	if err := a.writeCredential(c, p, action, old, d); err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, a.withSecret(p, d, in.text(currentSecret))}, nil
}

// set copies the fields that are set, and deletes those that were given as null.
func set(d, in document, given map[string]any) {
	for name, value := range in {
		if _, isGiven := given[name]; value != nil {
			d[name] = value
		} else if isGiven {
			delete(d, name)
		}
	}
}

// writeCredential writes d, which it first brings into the form of the vault object. A secret
// that is easy to guess or cannot be used keeps its form: rehash finds it and says so.
func (a *API) writeCredential(c *call, p *place, action string, old, d document) error {
	switch {
	case !p.hashed() || d.isHashed():
	case !a.isUsable(p, d):
		c.warn("The secrets stay in clear text, as no check can use the record")
	case d.isGuessable():
		c.warn("The secret stays in clear text, as it is easy to guess: rotate the credential")
	default:
		d.hash()
	}
	raw, err := d.encode()
	if err != nil {
		return err
	}
	p.raw = raw
	return a.apply(c, p.entry(action, old, d), p.change(), func(ctx context.Context) error { return p.write(ctx, raw) })
}

// entry names a credential by the fingerprint that the decision log has, so that lines
// can be matched without a token in either.
func (p *place) entry(action string, before, after document) entry {
	e := entry{action: action, entity: state.KindCredentials, id: authz.Fingerprint(p.key), vault: p.vault.text("name")}
	if before != nil {
		e.before = credentialView(before)
		delete(e.before, "access_token")
	}
	if after != nil {
		e.after = credentialView(after)
		delete(e.after, "access_token")
	}
	return e
}

func (a *API) getCredential(c *call) (reply, error) {
	p, err := a.existing(c)
	if err != nil {
		return reply{}, err
	}
	d, err := p.present(c.ctx)
	if err != nil {
		return reply{}, err
	}
	return ok(document{"data": a.lastUses(c, false)(&p, a.newJudge().view(&p, d))}), nil
}

// patchCredential changes limits. It is not Kong's.
func (a *API) patchCredential(c *call) (reply, error) {
	p, err := a.existing(c)
	if err != nil {
		return reply{}, err
	}
	v := violations{}
	in := typed(limitFields, c.input.values, c.input.form, document{}, v, "")
	if err := v.err(); err != nil {
		return reply{}, err
	}
	var d document
	if _, err := a.aloneWith(c, &p, func(old document) (reply, error) {
		d = maps.Clone(old)
		set(d, in, c.input.values)
		d["updated_at"] = time.Now().Unix()
		return reply{}, a.writeCredential(c, &p, "update", old, d)
	}); err != nil {
		return reply{}, err
	}
	// Nobody waits for the credential while the last use is read.
	return ok(document{"data": a.lastUses(c, false)(&p, a.newJudge().view(&p, d))}), nil
}

// deleteCredential also deletes and drops a credential that it cannot find: it may have
// been deleted in Vault and still be cached here, or be recoverable there.
func (a *API) deleteCredential(c *call) (reply, error) {
	p, err := a.existing(c)
	if err != nil {
		return reply{}, err
	}
	return a.alone(c, &p, func() (reply, error) {
		old, err := p.read(c.ctx)
		var malformed *api.Problem
		if err != nil && !errors.As(err, &malformed) {
			return reply{}, err
		}
		err = a.apply(c, p.entry("delete", old, nil), p.change(), p.delete)
		if err == nil && old == nil && malformed == nil {
			err = authz.ErrNotFound
		}
		return noContent, err
	})
}

// rotateCredential puts a new secret beside the old one, which stays good for
// the grace. Repeated with a secret_token of the caller's choice that is the
// current one already, it changes nothing. A rotation that would end the grace of the
// one before is refused unless it is forced: somebody was promised that time.
func (a *API) rotateCredential(c *call) (reply, error) {
	p, err := a.existing(c)
	if err != nil {
		return reply{}, err
	}
	v := violations{}
	in := typed(a.byGrammar(rotationFields, &p), c.input.values, c.input.form, nil, v, "")
	p.checkPair(p.key, in.text(currentSecret), v)
	if err := v.err(); err != nil {
		return reply{}, err
	}
	return a.aloneWith(c, &p, func(old document) (reply, error) {
		now := time.Now()
		secret := in.text(currentSecret)
		if secret != "" && old.hasSecret(secret) {
			return reply{http.StatusCreated, a.withSecret(&p, old, secret)}, nil
		}
		if until := previousUntil(old); !in.yes("force") && until.After(now) {
			return reply{}, rotatedAlready(until, until.Sub(now))
		}
		secret = cmp.Or(secret, p.prefix().SecretToken(newToken()))
		d := rotated(old, secret, in.number("grace"), now.Unix())
		if err := a.writeCredential(c, &p, "rotate", old, d); err != nil {
			return reply{}, err
		}
		return reply{http.StatusCreated, a.withSecret(&p, d, secret)}, nil
	})
}

// rotated returns the record with a new secret. The one before keeps its form: of a hash
// nobody can make the secret.
func rotated(old document, secret string, grace, now int64) document {
	d := maps.Clone(old)
	d.forget(previousSecret)
	delete(d, "previous_expires_at")
	if _, known := old.hashOf(currentSecret); known && grace > 0 {
		for _, form := range []string{"", hashSuffix} {
			if before := old[currentSecret+form]; before != nil {
				d[previousSecret+form] = before
			}
		}
		d["previous_expires_at"] = now + grace
	}
	d.forget(currentSecret)
	d[currentSecret], d["updated_at"] = secret, now
	return d
}

// previousUntil returns when the secret before the last rotation stops working, the zero
// time if there is no such secret.
func previousUntil(d document) time.Time {
	until, known := seconds(d["previous_expires_at"]).(int64)
	if _, has := d.hashOf(previousSecret); !known || !has {
		return time.Time{}
	}
	return time.Unix(until, 0)
}

// credentialView returns a credential as answers show it: its known fields without the
// secrets. Unknown fields are left out: they may hold secrets of other programs.
func credentialView(d document) document {
	view := document{"access_token": d.text("access_token"), "consumer": nil}
	if id := d.record("consumer").text("id"); id != "" {
		view["consumer"] = document{"id": id}
	}
	for _, name := range []string{"created_at", "updated_at", "ttl", "expires_at", "not_before", "previous_expires_at"} {
		view[name] = seconds(d[name])
	}
	view["disabled"] = d.yes("disabled") || d.text("disabled") == "true"
	view["hashed"] = d.isHashed()
	return view
}

// withSecret returns the only answer that has the secret.
func (a *API) withSecret(p *place, d document, secret string) document {
	return document{"data": a.newJudge().view(p, d).with(currentSecret, secret)}
}

// seconds reads a number of seconds or a time as people write it, nil if it is
// neither.
func seconds(v any) any {
	s, isText := v.(string)
	if n, ok := v.(int64); ok {
		return n
	}
	if !isText {
		return nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n
	}
	if d, err := time.ParseDuration(s); err == nil {
		return int64(d / time.Second)
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.Unix()
	}
	return nil
}

func (a *API) listCredentials(c *call) (reply, error) {
	p, err := a.place(c)
	if err != nil {
		return reply{}, err
	}
	w, err := c.window(kvpath.IsSegment)
	if err != nil {
		return reply{}, err
	}
	has, err := c.fingerprint()
	if err != nil {
		return reply{}, err
	}
	keys, err := sortedKeys(c.ctx, p.store)
	if err != nil {
		return reply{}, err
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return !has(key) })
	places, last := []place{}, ""
	for _, key := range after(keys, w.after) {
		if len(places) == w.size {
			last = places[w.size-1].key
			break
		}
		places = append(places, place{vault: p.vault, store: p.store, key: key})
	}
	documents, err := readAll(c.ctx, places)
	if err != nil {
		return reply{}, err
	}
	data, judge, withLastUse := []document{}, a.newJudge(), a.lastUses(c, true)
	for i, d := range documents {
		if d != nil {
			data = append(data, withLastUse(&places[i], judge.view(&places[i], d)).with("access_token", places[i].key))
		}
	}
	return c.list(data, last), nil
}

// fingerprint reads by which fingerprint access tokens are listed.
func (c *call) fingerprint() (has func(accessToken string) bool, err error) {
	q := c.r.URL.Query()
	if !q.Has("fingerprint") {
		return func(string) bool { return true }, nil
	}
	wanted := strings.ToLower(q.Get("fingerprint"))
	if !authz.IsFingerprint(wanted) {
		return nil, badRequest("fingerprint must be that of an access token, as logs have it: 8 hexadecimal digits")
	}
	return func(accessToken string) bool { return authz.Fingerprint(accessToken) == wanted }, nil
}

// after returns the sorted keys after one.
func after(keys []string, key string) []string {
	first, found := slices.BinarySearch(keys, key)
	if found {
		first++
	}
	return keys[first:]
}

func sortedKeys(ctx context.Context, store CredentialStore) ([]string, error) {
	var keys []string
	err := store.EachKey(ctx, func(key string) {
		// Names that end with a slash are folders.
		if kvpath.IsSegment(key) {
			keys = append(keys, key)
		}
	})
	if err != nil {
		return nil, unavailable(err)
	}
	slices.Sort(keys)
	return keys, nil
}

const (
	// readers bounds the concurrent reads of one call.
	readers = 8
	// maxScan bounds how many credentials one page looks at, where only some
	// of them are wanted.
	maxScan = 2000
)

// readAll reads credentials, in order. A credential that is gone is nil, one that
// cannot be decoded is empty.
func readAll(ctx context.Context, places []place) ([]document, error) {
	documents := make([]document, len(places))
	errs := make([]error, len(places))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(readers, len(places)) {
		wg.Go(func() {
			for i := range next {
				documents[i], errs[i] = places[i].read(ctx)
				var malformed *api.Problem
				if errors.As(errs[i], &malformed) {
					documents[i], errs[i] = document{}, nil
				}
			}
		})
	}
	for i := range places {
		next <- i
	}
	close(next)
	wg.Wait()
	return documents, errors.Join(errs...)
}

// consumerCredentials scans the credentials of all vault objects: they are stored by
// access token, and an index by consumer would miss records that were made by hand. A
// page may be short and still have a next one.
func (a *API) consumerCredentials(c *call) (reply, error) {
	consumer, err := a.find(a.consumers, c.param("consumer"))
	if err != nil {
		return reply{}, err
	}
	w, err := c.window(isPlace)
	if err != nil {
		return reply{}, err
	}
	places, more, err := a.scan(c.ctx, w.after)
	if err != nil {
		return reply{}, err
	}
	documents, err := readAll(c.ctx, places)
	if err != nil {
		return reply{}, err
	}
	data, judge, withLastUse := []document{}, a.newJudge(), a.lastUses(c, true)
	for i, d := range documents {
		if !strings.EqualFold(d.record("consumer").text("id"), consumer.id()) {
			continue
		}
		p := &places[i]
		data = append(data, withLastUse(p, judge.view(p, d)).with("access_token", p.key).with("vault", document{"id": p.vault.id(), "name": p.vault.text("name")}))
		if len(data) == w.size && (more || i+1 < len(places)) {
			return c.list(data, p.position()), nil
		}
	}
	if more {
		return c.list(data, places[len(places)-1].position()), nil
	}
	return c.list(data, ""), nil
}

// position orders credentials of all vault objects.
func (p *place) position() string { return p.vault.id() + "/" + p.key }

// isPlace says whether an offset is the position of a credential.
func isPlace(s string) bool {
	vault, key, _ := strings.Cut(s, "/")
	return authz.IsUUID(vault) && kvpath.IsSegment(key)
}

// scan returns the credentials after a position, and whether there are more.
func (a *API) scan(ctx context.Context, after string) (places []place, more bool, err error) {
	all, err := a.all(a.vaults)
	if err != nil {
		return nil, false, err
	}
	for _, vault := range all {
		if vault.id()+"0" < after { // "0" comes after "/": all of this one is before
			continue
		}
		store, err := a.credentialsOf(ctx, vault)
		if err != nil {
			return nil, false, err
		}
		keys, err := sortedKeys(ctx, store)
		if err != nil {
			return nil, false, err
		}
		for _, key := range keys {
			p := place{vault: vault, store: store, key: key}
			if p.position() <= after {
				continue
			}
			if len(places) == maxScan {
				return places, true, nil
			}
			places = append(places, p)
		}
	}
	return places, false, nil
}
