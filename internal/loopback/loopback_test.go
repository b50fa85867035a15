package loopback_test

import (
	"testing"

	"github.com/vault-authz/vault-authz/internal/loopback"
)

func TestIs(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.8.7.6": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "LocalHost": true,
		"": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "::ffff:10.0.0.1": false, "127.0.0.1.example": false,
		"vault.localhost": false, "localhost.example": false, "127.1": false, "[::1]": false, "127.0.0.1:80": false,
	} {
		if got := loopback.Is(host); got != want {
			t.Errorf("Is(%q) = %t, want %t", host, got, want)
		}
	}
}
