package envoy_test

import (
	"context"
	"fmt"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/envoy"
)

// oneCredential is a source with the credential of alice.
type oneCredential struct{ credential authz.Credential }

func (s oneCredential) Lookup(_ context.Context, accessToken string) (authz.Credential, error) {
	if accessToken != s.credential.AccessToken {
		return authz.Credential{}, authz.ErrNotFound
	}
	return s.credential, nil
}

// authorizer returns an authorizer with one policy, one consumer and one credential.
func authorizer() (*authz.Authorizer, error) {
	const alice = "ce67c25e-2168-4a09-81e5-e06187a2384f"
	digester := authz.NewDigester()
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault, policy.Default = "orders", "main", true
	snapshot, err := authz.NewSnapshot(
		[]authz.Policy{policy},
		[]authz.Consumer{{ID: alice, Username: "alice"}},
		map[string]authz.Source{"main": oneCredential{authz.Credential{
			AccessToken: "foo", ConsumerID: alice, Secret: digester.Digest("main", "foo", "supersecretvalue"),
		}}},
	)
	if err != nil {
		return nil, err
	}
	return authz.New(snapshot, digester, authz.DefaultGrammar()), nil
}

// A server decides about two requests. Ask takes the place of Envoy.
func Example() {
	decider, err := authorizer()
	if err != nil {
		fmt.Println(err)
		return
	}
	service := envoy.NewService(decider, envoy.Options{})
	server := envoy.NewServer(service, 1<<20, prometheus.NewRegistry())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()

	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.Close() }()
	for _, secret := range []string{"supersecretvalue", "wrong"} {
		answer, err := envoy.Ask(context.Background(), conn, envoy.Question{
			Method: "GET", URL: "http://shop.example.com/orders/7",
			Headers: []authz.Header{{Name: "access-token", Value: "foo"}, {Name: "secret-token", Value: secret}},
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(answer.Allowed, answer.Reason, answer.Policy, answer.Status)
		for _, header := range answer.Set {
			fmt.Println("set", header.Name, header.Value)
		}
	}
	// Output:
	// true authenticated orders 0
	// set x-consumer-id ce67c25e-2168-4a09-81e5-e06187a2384f
	// set x-consumer-username alice
	// set x-credential-identifier foo
	// false wrong_secret orders 401
}

// The JSON form of a question is the CheckRequest for grpcurl.
func ExampleQuestion_JSON() {
	question := envoy.Question{Method: "GET", URL: "http://shop.example.com/orders/7", Policy: "orders"}
	request, err := question.JSON()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(request))
	// Output:
	// {"attributes":{"request":{"http":{"method":"GET","path":"/orders/7","host":"shop.example.com","scheme":"http","protocol":"HTTP/1.1"}},"contextExtensions":{"policy":"orders"}}}
}
