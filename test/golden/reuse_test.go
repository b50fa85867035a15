package golden

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/experimental"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/envoy"
)

// scribbling is a pool that overwrites the buffers which it gets back: code that still reads
// one reads garbage.
type scribbling struct{ pool sync.Pool }

func (s *scribbling) Get(length int) *[]byte {
	if b, ok := s.pool.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length)
	return &b
}

func (s *scribbling) Put(b *[]byte) {
	copy(*b, bytes.Repeat([]byte("!"), len(*b)))
	s.pool.Put(b)
}

const (
	consumers = 20
	callers   = 8
	rounds    = 200
)

// A request is not copied out of the receive buffer. What outlives the call, such as the key
// of a cache entry or of a load in flight, must be copied.
func TestNoPartOfARequestOutlivesItsCall(t *testing.T) {
	t.Parallel()
	digester := authz.NewDigester()
	credentials, err := cache.New(smallCache(), func(_ context.Context, token string) (authz.Credential, error) {
		var n int
		if _, err := fmt.Sscanf(token, "token-%d", &n); err != nil || n >= consumers {
			return authz.Credential{}, authz.ErrNotFound
		}
		return authz.Credential{
			AccessToken: token, ConsumerID: consumerID(n),
			Secret: digester.Digest("v", token, fmt.Sprintf("secret-%d", n)),
		}, nil
	}, cache.Rules[authz.Credential]{Absent: func(err error) bool { return errors.Is(err, authz.ErrNotFound) }})
	if err != nil {
		t.Fatal(err)
	}
	defer credentials.Close()
	snapshot, err := authz.NewSnapshot([]authz.Policy{everyRequest()}, everybody(), map[string]authz.Source{"v": credentials})
	if err != nil {
		t.Fatal(err)
	}
	client := overGRPC(t, envoy.NewService(authz.New(snapshot, digester, authz.DefaultGrammar()), envoy.Options{}), experimental.BufferPool(&scribbling{}))

	var all sync.WaitGroup
	defer all.Wait()
	for range callers {
		all.Go(func() {
			for range rounds {
				n := rand.IntN(consumers + 5)
				secret := rand.IntN(2) == 0
				allowed, consumer, err := ask(t.Context(), client, n, secret)
				if want := secret && n < consumers; err != nil || allowed != want || allowed && consumer != consumerID(n) {
					t.Errorf("consumer %d with its secret %t: got allowed %t as %q, %v", n, secret, allowed, consumer, err)
					return
				}
			}
		})
	}
	all.Wait()
	for _, key := range credentials.Keys() {
		if !strings.HasPrefix(key, "token-") {
			t.Errorf("the cache has the key %q, which is not an access token", key)
		}
	}
}

// ask sends a request that is large enough for a pooled buffer.
func ask(ctx context.Context, client authv3.AuthorizationClient, n int, good bool) (allowed bool, consumer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	secret := "wrong"
	if good {
		secret = fmt.Sprintf("secret-%d", n)
	}
	field := func(name, value string) *corev3.HeaderValue {
		return &corev3.HeaderValue{Key: name, RawValue: []byte(value)}
	}
	out, err := client.Check(ctx, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Path: "/orders", Host: "shop.test", Scheme: "http",
			HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				field("access-token", fmt.Sprintf("token-%d", n)), field("secret-token", secret),
				field("x-padding", strings.Repeat("p", 1500)),
			}},
		},
	}}})
	if err != nil {
		return false, "", err
	}
	for _, h := range out.GetOkResponse().GetHeaders() {
		if h.GetHeader().GetKey() == "x-consumer-id" {
			consumer = h.GetHeader().GetValue()
		}
	}
	return out.GetOkResponse() != nil && out.GetStatus().GetCode() == 0, consumer, nil
}

// smallCache has room for fewer entries than there are credentials, so that entries are
// loaded, evicted and refreshed all the time.
func smallCache() cache.Config {
	c := cache.DefaultConfig()
	c.Capacity, c.AbsentCapacity, c.TTL, c.MinTTL, c.AbsentTTL = consumers/2, 2, time.Millisecond, time.Millisecond, time.Millisecond
	c.MissesPerSecond = 0
	return c
}

func everyRequest() authz.Policy {
	p := authz.DefaultPolicy()
	p.Name, p.Vault, p.Default = "orders", "v", true
	return p
}

func everybody() []authz.Consumer {
	out := make([]authz.Consumer, consumers)
	for n := range out {
		out[n] = authz.Consumer{ID: consumerID(n), Username: fmt.Sprintf("consumer-%d", n)}
	}
	return out
}

func consumerID(n int) string { return fmt.Sprintf("c0ffee00-0000-4000-8000-%012d", n) }
