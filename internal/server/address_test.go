package server

import (
	"strings"
	"testing"
)

func TestAddressesThatCannotBeListenedOnAreRefused(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"127.0.0.1:0", ":9191", "[::]:9191", "[fe80::1%lo]:1", "localhost:80", "vault-authz.example:65535", "unix:/run/a", "unix:a", "unix:/" + strings.Repeat("a", 106)} {
		if err := ValidateAddress(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "nonsense", ":", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:nope", "127.0.0.1:http", "256.0.0.1:1", "1.2:1", "::1:9191", "a b:1", "http://a:1", "a/b:1",
		"unix:", "unix:@a", "unix:/run/", "unix:/" + strings.Repeat("a", 107),
	} {
		if err := ValidateAddress(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestAddressesThatTakeOnePortCollide(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:1", "127.0.0.1:1", true},
		{"127.0.0.1:80", "localhost:80", true},
		{"0.0.0.0:1", "127.0.0.1:1", true},
		{":1", "127.0.0.1:1", true},
		{"[::]:1", "[::1]:1", true},
		{"[::]:1", "0.0.0.0:1", true},
		{"a.example:1", "A.example:1", true},
		{"unix:/run/a", "unix:/run/./a", true},
		{"0.0.0.0:1", "[::1]:1", false},
		{"127.0.0.1:1", "127.0.0.2:1", false},
		{"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"a.example:1", "b.example:1", false},
		{"unix:/run/a", "unix:/run/b", false},
		{"unix:/run/a", "127.0.0.1:1", false},
		{"nonsense", "nonsense", false},
	} {
		for _, pair := range [][2]string{{test.a, test.b}, {test.b, test.a}} {
			if got := Collide(pair[0], pair[1]); got != test.want {
				t.Errorf("Collide(%q, %q) = %t, want %t", pair[0], pair[1], got, test.want)
			}
		}
	}
}
