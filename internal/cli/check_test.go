package cli

import "testing"

func TestCheckWarnsWhereTokensWouldCrossANetworkInTheClear(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address string
		tls     clientTLS
		want    bool
	}{
		{address: "vault-authz.example.com:9191", want: true},
		{address: "192.0.2.1:9191", want: true},
		{address: "authz.localhost:9191", want: true},
		{address: "vault-authz.example.com:9191", tls: clientTLS{on: true}},
		{address: "vault-authz.example.com:9191", tls: clientTLS{tlsFlags: tlsFlags{caFile: "ca.pem"}}},
		{address: "127.0.0.1:9191"},
		{address: "[::1]:9191"},
		{address: "localhost:9191"},
		{address: ":9191"},
		{address: "0.0.0.0:9191"},
		{address: "unix:/run/vault-authz/authz.sock"},
		{address: "nonsense"},
	} {
		o := checkOptions{address: test.address, tls: test.tls}
		if got := o.inTheClear(); got != test.want {
			t.Errorf("%q, TLS %+v: got %t, want %t", test.address, test.tls, got, test.want)
		}
	}
}
