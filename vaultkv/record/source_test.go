package record_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// What must never be in a text. The values are such that no other word has them in it.
const (
	secretToken = "zzSECRETzz-of-the-record"
	accessToken = "zzACCESSzz-of-the-client"
)

const consumerID = "a8a49d5c-4b0c-4f0e-9d0e-0e3f7c1f8b52"

func newLog() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

// text is all that was logged.
func text(logs *observer.ObservedLogs) string {
	var all strings.Builder
	for _, e := range logs.All() {
		fmt.Fprintf(&all, "%s %s %v\n", e.Level, e.Message, e.ContextMap())
	}
	return all.String()
}

// recordWith is a credential document for accessToken with more members.
func recordWith(more ...string) []byte {
	members := append([]string{
		`"access_token":"` + accessToken + `"`, `"secret_token":"` + secretToken + `"`, `"consumer":{"id":"` + consumerID + `"}`,
	}, more...)
	return []byte("{" + strings.Join(members, ",") + "}")
}

func TestSourceHoldsSecretsOnlyAsDigests(t *testing.T) {
	t.Parallel()
	kv, digester := memkv.New(), authz.NewDigester()
	s := record.NewSource("main", kv, digester, zap.NewNop())
	kv.Put(accessToken, recordWith(`"previous_secret_token":"zzSECRETzz-old"`, `"previous_expires_at":1764000000`))
	c, err := s.Lookup(t.Context(), accessToken)
	if err != nil {
		t.Fatalf("Lookup = %v, want no error", err)
	}
	if !c.Secret.Equal(digester.Digest("main", accessToken, secretToken)) {
		t.Error("Secret is not the digest of the record's secret")
	}
	if !c.Previous.Equal(digester.Digest("main", accessToken, "zzSECRETzz-old")) {
		t.Error("Previous is not the digest of the record's previous secret")
	}
	if text := fmt.Sprintf("%+v %#v", c, c); strings.Contains(text, "zzSECRETzz") {
		t.Errorf("%q contains a secret", text)
	}
	kv.Put(accessToken, recordWith())
	if c, err = s.Lookup(t.Context(), accessToken); err != nil || !c.Previous.IsZero() {
		t.Errorf("Lookup of a record without a previous secret = %v, %v, want none", c.Previous.IsZero(), err)
	}
}

// TestARecordWithAHashIsAsGoodAsOneWithTheSecret: what a check compares does not show how
// the record keeps the secret.
func TestARecordWithAHashIsAsGoodAsOneWithTheSecret(t *testing.T) {
	t.Parallel()
	const old = "zzSECRETzz-old"
	kv, digester := memkv.New(), authz.NewDigester()
	s := record.NewSource("main", kv, digester, zap.NewNop())
	until := `"previous_expires_at":1764000000`
	kv.Put(accessToken, recordWith(`"previous_secret_token":"`+old+`"`, until))
	plain, err := s.Lookup(t.Context(), accessToken)
	if err != nil {
		t.Fatal(err)
	}
	member := func(name, secret string) string {
		return fmt.Sprintf(`"%s_sha256":"%x"`, name, sha256.Sum256([]byte(secret)))
	}
	kv.Put(accessToken, []byte(`{"access_token":"`+accessToken+`","consumer":{"id":"`+consumerID+`"},`+
		member("secret_token", secretToken)+","+member("previous_secret_token", old)+","+until+"}"))
	hashed, err := s.Lookup(t.Context(), accessToken)
	if err != nil {
		t.Fatal(err)
	}
	if hashed != plain {
		t.Error("the credentials of the two records differ")
	}
	if text := fmt.Sprintf("%+v %#v", hashed, hashed); strings.Contains(text, fmt.Sprintf("%x", sha256.Sum256([]byte(secretToken)))) {
		t.Errorf("%q contains the hash", text)
	}
}

// TestMalformedHashIsLoggedWithoutIt: a broken hash may be part of a good one.
func TestMalformedHashIsLoggedWithoutIt(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	log, logs := newLog()
	s := record.NewSource("main", kv, authz.NewDigester(), log)
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(secretToken)))
	for _, broken := range []string{hash[1:], hash + "0", "zz" + hash[2:]} {
		kv.Put(accessToken, []byte(`{"access_token":"`+accessToken+`","consumer":{"id":"`+consumerID+`"},"secret_token_sha256":"`+broken+`"}`))
		if _, err := s.Lookup(t.Context(), accessToken); !errors.Is(err, authz.ErrMalformed) || strings.Contains(err.Error(), hash[2:]) {
			t.Errorf("Lookup = %v, want %v without the hash", err, authz.ErrMalformed)
		}
	}
	all := text(logs)
	if logs.Len() != 1 || strings.Contains(all, hash[2:]) || !strings.Contains(all, "secret_token_sha256: not a SHA-256") {
		t.Errorf("log:\n%s\nwant one line with the mistake and without the hash", all)
	}
}

// TestMalformedRecordIsLoggedOnce: with the fingerprint, the mistake, and
// nothing of the record; again only after a while.
func TestMalformedRecordIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kv := memkv.New()
		log, logs := newLog()
		s := record.NewSource("main", kv, authz.NewDigester(), log)
		kv.Put(accessToken, recordWith(`"expires_at":"`+secretToken+`"`))
		for range 3 {
			_, err := s.Lookup(t.Context(), accessToken)
			if !errors.Is(err, authz.ErrMalformed) || errors.Is(err, authz.ErrUnavailable) {
				t.Fatalf("Lookup = %v, want %v", err, authz.ErrMalformed)
			}
			if all := fmt.Sprintf("%+v %s", err, text(logs)); strings.Contains(all, secretToken) || strings.Contains(all, accessToken) {
				t.Errorf("%q contains a token", all)
			}
		}
		if logs.Len() != 1 {
			t.Fatalf("log:\n%s\nwant one line", text(logs))
		}
		got := logs.All()[0]
		fields := got.ContextMap()
		if fields["vault"] != "main" || fields["credential"] != authz.Fingerprint(accessToken) || !strings.HasPrefix(fmt.Sprint(fields["mistake"]), "expires_at: ") {
			t.Errorf("line %q %v, want vault, credential and mistake", got.Message, fields)
		}
		time.Sleep(2 * time.Minute)
		_, _ = s.Lookup(t.Context(), accessToken)
		if logs.Len() != 2 {
			t.Errorf("%d lines after another two minutes, want 2", logs.Len())
		}
	})
}

// TestEngineFailureIsNeverAnAnswer: whatever an engine fails with.
func TestEngineFailureIsNeverAnAnswer(t *testing.T) {
	t.Parallel()
	kv := memkv.New()
	s := record.NewSource("main", kv, authz.NewDigester(), zap.NewNop())
	kv.Put(accessToken, recordWith())
	for _, failure := range []error{
		errors.New("down"), context.DeadlineExceeded, authz.ErrNotFound, fmt.Errorf("x: %w", authz.ErrMalformed),
	} {
		kv.Fail(failure)
		_, err := s.Lookup(t.Context(), accessToken)
		if !errors.Is(err, authz.ErrUnavailable) || errors.Is(err, authz.ErrNotFound) || errors.Is(err, authz.ErrMalformed) {
			t.Errorf("Lookup with the engine failing with %q = %v, want only %v", failure, err, authz.ErrUnavailable)
		}
	}
	kv.Fail(nil)
	if _, err := s.Lookup(t.Context(), accessToken); err != nil {
		t.Errorf("Lookup after the failure = %v, want no error", err)
	}
}
