package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/api"
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
	c.warnOfLimits(in, d)
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

// warnOfLimits warns of the limits of d, if the call gives one of them: they are taken as they
// are, and a client that is refused cannot tell why.
func (c *call) warnOfLimits(in, d document) {
	if in["expires_at"] == nil && in["not_before"] == nil {
		return
	}
	expires, ends := seconds(d["expires_at"]).(int64)
	begins, _ := seconds(d["not_before"]).(int64)
	switch {
	case !ends:
	case expires <= time.Now().Unix():
		c.warn("The credential has expired already and is refused: its expiry is in the past")
	case expires <= begins:
		c.warn("The credential is never accepted: it expires before it becomes valid")
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
		c.warnOfLimits(in, d)
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
