package vaultkv_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// What must never be in a text. The values are such that no other word has them
// in it.
const (
	secretToken = "zzSECRETzz-of-the-record"
	accessToken = "zzACCESSzz-of-the-client"
	vaultToken  = "zzVAULTzz-token"
)

const consumerID = "a8a49d5c-4b0c-4f0e-9d0e-0e3f7c1f8b52"

// recordWith is a credential document for accessToken with more members.
func recordWith(more ...string) []byte {
	members := append([]string{
		`"access_token":"` + accessToken + `"`, `"secret_token":"` + secretToken + `"`, `"consumer":{"id":"` + consumerID + `"}`,
	}, more...)
	return []byte("{" + strings.Join(members, ",") + "}")
}

func newLog() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

func lines(logs *observer.ObservedLogs) []string {
	var out []string
	for _, e := range logs.All() {
		out = append(out, fmt.Sprintf("%s %s %v", e.Level, e.Message, e.ContextMap()))
	}
	return out
}

// wantNoTokens fails if an error or a log line has a token or a secret in it.
func wantNoTokens(t *testing.T, err error, logs *observer.ObservedLogs, more ...string) {
	t.Helper()
	texts := lines(logs)
	for ; err != nil; err = unwrapOne(err) {
		texts = append(texts, fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err))
	}
	for _, text := range texts {
		for _, forbidden := range append(more, secretToken, accessToken, vaultToken) {
			if strings.Contains(text, forbidden) {
				t.Errorf("%q contains %q", text, forbidden)
			}
		}
	}
}

func unwrapOne(err error) error {
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case interface{ Unwrap() error }:
		return e.Unwrap()
	case interface{ Unwrap() []error }:
		all := e.Unwrap()
		return all[len(all)-1]
	}
	return nil
}
