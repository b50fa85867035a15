package vaults

import (
	"context"
	"errors"
	"testing"

	"github.com/vault-authz/vault-authz/authz"
)

func TestAMistypedTokenIsUnknownWithoutARead(t *testing.T) {
	t.Parallel()
	const prefix, random = authz.TokenPrefix("va_live"), "0Kq3zYb8XvN1mPdR5tWcJ7hLs9GfA2eU"
	good := prefix.AccessToken(random)
	for _, test := range []struct {
		name, token string
		prefix      authz.TokenPrefix
		reads       bool
	}{
		{"a good checksum", good, prefix, true},
		{"a wrong checksum", good[:len(good)-1] + "~", prefix, false},
		{"a secret token", prefix.SecretToken(random), prefix, false},
		{"another prefix", authz.TokenPrefix("va_test").AccessToken(random), prefix, true},
		{"no prefix", random, prefix, true},
		{"a wrong checksum where there is no prefix", good + "x", "", true},
	} {
		read := false
		_, err := screened(test.prefix, func(context.Context, string) (authz.Credential, error) {
			read = true
			return authz.Credential{}, nil
		})(t.Context(), test.token)
		if read != test.reads || errors.Is(err, authz.ErrNotFound) == test.reads {
			t.Errorf("%s: read = %t, %v; want read = %t, or that it is not found", test.name, read, err, test.reads)
		}
	}
}
