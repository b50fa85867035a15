package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/admin/credential"
	"github.com/vault-authz/vault-authz/internal/admin/schema"
	"github.com/vault-authz/vault-authz/internal/api"
	"github.com/vault-authz/vault-authz/internal/state"
)

// byGrammar has tokens checked by the grammar of the configuration and by what the vault
// object says about them.
func (a *API) byGrammar(fields []api.Field, p *credential.Place) []api.Field {
	fields = slices.Clone(fields)
	for i := range fields {
		switch fields[i].Name {
		case "access_token":
			fields[i].Check = func(s string) string {
				problem := credential.CheckAccessToken(a.cfg.Grammar, s)
				if problem == "" && p.Prefix().Mistyped(s) {
					problem = "begins like one that is made for this vault object, and its checksum is wrong; leave it out to get a random one, or begin it in another way"
				}
				return problem
			}
		case credential.CurrentSecret:
			fields[i].Check = func(s string) string {
				problem := credential.CheckSecretToken(a.cfg.Grammar, s)
				if problem == "" && p.Hashed() {
					problem = credential.CheckHashable(s)
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
	v := schema.Violations{}
	in := schema.Typed(a.byGrammar(schema.NewCredential, &p), c.input, schema.Document{}, v)
	if c.param("consumer") != "" {
		in["consumer"] = schema.Document{"username": c.param("consumer")}
	} else if in["consumer"] == nil && len(v) == 0 {
		v.Add("consumer", "required field missing")
	}
	p.CheckPair(in.Text("access_token"), in.Text(credential.CurrentSecret), v)
	if err := v.Err(); err != nil {
		return reply{}, err
	}
	ref := in.Record("consumer")
	consumer, err := a.find(a.consumers, ref.Text("id")+ref.Text("username"))
	if err != nil {
		return reply{}, err
	}
	in["consumer"] = schema.Document{"id": consumer.ID()}
	if p.Key = in.Text("access_token"); p.Key == "" {
		p.Key = p.Prefix().AccessToken(credential.NewToken())
	}
	in["access_token"] = p.Key
	// Kong has an upsert if the path names the consumer. A secret in the call replaces
	// the stored one; without a secret in the call, the stored one stays.
	replaces := c.param("consumer") != "" && in[credential.CurrentSecret] != nil
	if in[credential.CurrentSecret] == nil {
		in[credential.CurrentSecret] = p.Prefix().SecretToken(credential.NewToken())
	}
	return a.alone(c, &p, func() (reply, error) { return a.upsertCredential(c, &p, in, replaces) })
}

// upsertCredential replaces a credential of the same consumer only. It replaces another
// secret, which stops working at once, only if the call asks for that. Limits that are
// not given stay: creating again must not enable a disabled credential.
func (a *API) upsertCredential(c *call, p *credential.Place, in schema.Document, replaces bool) (reply, error) {
	old, err := p.Read(c.ctx)
	if err != nil {
		return reply{}, err
	}
	now := time.Now().Unix()
	d := schema.Document{"created_at": now}
	action := "create"
	if old != nil {
		if !strings.EqualFold(old.Record("consumer").Text("id"), in.Record("consumer").Text("id")) {
			return reply{}, constraint{fields: map[string]any{"access_token": p.Key}}.err()
		}
		if !replaces && !credential.HasSecret(old, in.Text(credential.CurrentSecret)) {
			return reply{}, credentialExists()
		}
		d, action = maps.Clone(old), "update"
		credential.Forget(d, credential.CurrentSecret)
		credential.Forget(d, credential.PreviousSecret)
		delete(d, "previous_expires_at")
	}
	set(d, in, c.input.Values)
	d["updated_at"] = now
	c.warnOfLimits(in, d)
	if err := a.writeCredential(c, p, action, old, d); err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, a.withSecret(p, d, in.Text(credential.CurrentSecret))}, nil
}

// warnOfLimits warns of the limits of d, if the call gives one of them: they are taken as they
// are, and a client that is refused cannot tell why.
func (c *call) warnOfLimits(in, d schema.Document) {
	if in["expires_at"] == nil && in["not_before"] == nil {
		return
	}
	expires, ends := credential.Seconds(d["expires_at"]).(int64)
	begins, _ := credential.Seconds(d["not_before"]).(int64)
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
func (a *API) writeCredential(c *call, p *credential.Place, action string, old, d schema.Document) error {
	switch {
	case !p.Hashed() || credential.IsHashed(d):
	case !a.isUsable(p, d):
		c.warn("The secrets stay in clear text, as no check can use the record")
	case credential.IsGuessable(d):
		c.warn("The secret stays in clear text, as it is easy to guess: rotate the credential")
	default:
		credential.Hash(d)
	}
	raw, err := d.Encode()
	if err != nil {
		return err
	}
	return a.apply(c, entryOf(p, action, old, d), p.Change(), func(ctx context.Context) error { return p.Write(ctx, raw) })
}

// entryOf names a credential by the fingerprint that the decision log has, so that lines
// can be matched without a token in either.
func entryOf(p *credential.Place, action string, before, after schema.Document) entry {
	e := entry{action: action, entity: state.KindCredentials, id: authz.Fingerprint(p.Key), vault: p.Vault.Text("name")}
	if before != nil {
		e.before = credential.View(before)
		delete(e.before, "access_token")
	}
	if after != nil {
		e.after = credential.View(after)
		delete(e.after, "access_token")
	}
	return e
}

func (a *API) getCredential(c *call) (reply, error) {
	p, err := a.existing(c)
	if err != nil {
		return reply{}, err
	}
	d, err := p.Present(c.ctx)
	if err != nil {
		return reply{}, err
	}
	return ok(schema.Document{"data": a.views(c, false)(&p, d)}), nil
}

// patchCredential changes limits. It is not Kong's.
func (a *API) patchCredential(c *call) (reply, error) {
	p, err := a.existing(c)
	if err != nil {
		return reply{}, err
	}
	v := schema.Violations{}
	in := schema.Typed(schema.Limits, c.input, schema.Document{}, v)
	if err := v.Err(); err != nil {
		return reply{}, err
	}
	var d schema.Document
	if _, err := a.aloneWith(c, &p, func(old schema.Document) (reply, error) {
		d = maps.Clone(old)
		set(d, in, c.input.Values)
		d["updated_at"] = time.Now().Unix()
		c.warnOfLimits(in, d)
		return reply{}, a.writeCredential(c, &p, "update", old, d)
	}); err != nil {
		return reply{}, err
	}
	// Nobody waits for the credential while the last use is read.
	return ok(schema.Document{"data": a.views(c, false)(&p, d)}), nil
}

// deleteCredential also deletes and drops a credential that it cannot find: it may have
// been deleted in Vault and still be cached here, or be recoverable there.
func (a *API) deleteCredential(c *call) (reply, error) {
	p, err := a.existing(c)
	if err != nil {
		return reply{}, err
	}
	return a.alone(c, &p, func() (reply, error) {
		old, err := p.Read(c.ctx)
		_, malformed := errors.AsType[*api.Problem](err)
		if err != nil && !malformed {
			return reply{}, err
		}
		err = a.apply(c, entryOf(&p, "delete", old, nil), p.Change(), p.Delete)
		if err == nil && old == nil && !malformed {
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
	v := schema.Violations{}
	in := schema.Typed(a.byGrammar(schema.Rotation, &p), c.input, nil, v)
	p.CheckPair(p.Key, in.Text(credential.CurrentSecret), v)
	if err := v.Err(); err != nil {
		return reply{}, err
	}
	return a.aloneWith(c, &p, func(old schema.Document) (reply, error) {
		now := time.Now()
		secret := in.Text(credential.CurrentSecret)
		if secret != "" && credential.HasSecret(old, secret) {
			return reply{http.StatusCreated, a.withSecret(&p, old, secret)}, nil
		}
		if until := credential.PreviousUntil(old); !in.Yes("force") && until.After(now) {
			return reply{}, rotatedAlready(until, until.Sub(now))
		}
		secret = cmp.Or(secret, p.Prefix().SecretToken(credential.NewToken()))
		d := credential.Rotated(old, secret, in.Number("grace"), now.Unix())
		if err := a.writeCredential(c, &p, "rotate", old, d); err != nil {
			return reply{}, err
		}
		return reply{http.StatusCreated, a.withSecret(&p, d, secret)}, nil
	})
}

// withSecret returns the only answer that has the secret.
func (a *API) withSecret(p *credential.Place, d schema.Document, secret string) schema.Document {
	return schema.Document{"data": a.states()(p, d).With(credential.CurrentSecret, secret)}
}

// isUsable says whether a request could present the secrets of the record, and a check could
// use it. Hashing anything else would hide what is wrong with it, or lose a secret of another
// program that shares the mount.
func (a *API) isUsable(p *credential.Place, d schema.Document) bool {
	for _, name := range []string{credential.CurrentSecret, credential.PreviousSecret} {
		if credential.CheckSecretToken(a.cfg.Grammar, d.Text(name)) != "" {
			return false
		}
	}
	raw, err := d.Encode()
	return err == nil && a.deps.Judge(p.Vault.Text("name"))(p.Key, raw).Reason != authz.ReasonMalformedRecord
}

// set copies the fields that are set, and deletes those that were given as null.
func set(d, in schema.Document, given map[string]any) {
	for name, value := range in {
		if _, isGiven := given[name]; value != nil {
			d[name] = value
		} else if isGiven {
			delete(d, name)
		}
	}
}
