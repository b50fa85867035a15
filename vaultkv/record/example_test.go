package record_test

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/vaultkv/record"
)

// A Source works on anything that stores JSON objects under keys.
func ExampleNewSource() {
	engine := memkv.New()
	ctx := context.Background()
	_ = engine.Write(ctx, "alice-access", []byte(`{"access_token":"alice-access","secret_token":"alice-secret","consumer":{"id":"alice"}}`))
	source := record.NewSource("main", engine, authz.NewDigester(), zap.NewNop())
	_, err := source.Lookup(ctx, "alice-access")
	fmt.Println(err)
	// Output:
	// vault object "main": malformed credential record: consumer.id: not a UUID; it must be the consumer's id, not its username
}
