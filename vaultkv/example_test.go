package vaultkv_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/vaultkv"
	"github.com/vault-authz/vault-authz/vaultkv/login"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// serveKV answers like Vault with a KV v1 mount kong-auth that contains one credential.
func serveKV(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("X-Vault-Token") != "hvs.example":
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"errors":["2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n"]}`)
	case r.URL.Path == "/v1/kong-auth/alice-access":
		_, _ = io.WriteString(w, `{"data":{"access_token":"alice-access","secret_token":"alice-secret","consumer":{"id":"a8a49d5c-4b0c-4f0e-9d0e-0e3f7c1f8b52"},"ttl":60}}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[]}`)
	}
}

func Example() {
	server := httptest.NewServer(http.HandlerFunc(serveKV))
	defer server.Close()
	c := vaultkv.DefaultConfig()
	c.Name, c.Address, c.Mount, c.Token = "main", server.URL, "kong-auth", "hvs.example"
	vault, err := vaultkv.New(c, zap.NewNop())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer func() { _ = vault.Stop(ctx) }()

	digester := authz.NewDigester()
	store := record.NewSource("main", vault, digester, zap.NewNop())
	credential, err := store.Lookup(ctx, "alice-access")
	fmt.Println(credential.ConsumerID, credential.TTL, err)
	fmt.Println("secret:", credential.Secret)
	_, err = store.Lookup(ctx, "mallory-access")
	fmt.Println(errors.Is(err, authz.ErrNotFound))
	// Output:
	// a8a49d5c-4b0c-4f0e-9d0e-0e3f7c1f8b52 1m0s <nil>
	// secret: [redacted]
	// true
}

// Whatever is not a definite answer is unavailable, and says what to do about it.
func Example_unavailable() {
	server := httptest.NewServer(http.HandlerFunc(serveKV))
	defer server.Close()
	c := vaultkv.DefaultConfig()
	c.Name, c.Address, c.Mount, c.Token = "main", server.URL, "kong-auth", "hvs.revoked"
	vault, err := vaultkv.New(c, zap.NewNop())
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	defer func() { _ = vault.Stop(ctx) }()

	store := record.NewSource("main", vault, authz.NewDigester(), zap.NewNop())
	_, err = store.Lookup(ctx, "alice-access")
	fmt.Println(errors.Is(err, authz.ErrUnavailable), vault.State())
	fmt.Println(err)
	// Output:
	// true token_rejected
	// vault object "main": credential store unavailable: the server does not accept the Vault token: it has expired, was revoked, is of another namespace, is bound to other addresses, or had a use limit; configure a new one
}

// Validate reports all mistakes at once.
func ExampleConfig_Validate() {
	c := vaultkv.DefaultConfig()
	c.Name, c.Address, c.Mount = "main", "https://vault.example.com:8200/v1", "sys"
	c.Login = login.Kubernetes{}
	fmt.Println(c.Validate())
	// Output:
	// address: must end after host and port; the mount goes into mount
	// login.kubernetes.role: must be set
	// mount: "sys" is refused: Vault keeps "sys" for itself, behind the name of a namespace too; give the path of a KV engine
}
