package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/vault-authz/vault-authz/test/parts"
)

// listenerName is the name of Envoy's listener. It has failure_mode_allow, so an undecided
// request reaches the upstream, which counts as a wrong allow.
const listenerName = "gate"

// startEnvoy starts an upstream, and an Envoy that asks the service.
func (bed *testbed) startEnvoy(ctx context.Context, binary string) error {
	var err error
	if bed.upstream, err = parts.StartUpstream(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	bed.envoy, err = parts.StartEnvoy(ctx, parts.EnvoyConfig{
		Binary: binary, Dir: bed.dir, Upstream: bed.upstream.Address(),
		Listeners: []parts.Listener{{Name: listenerName, Authz: bed.service.GRPC, Timeout: envoyTimeout, FailureModeAllow: true, EncodeRawHeaders: true}},
	})
	if err != nil {
		return err
	}
	bed.processes = append(bed.processes, bed.envoy.Process)
	return nil
}

// An envoyClient sends requests through Envoy.
type envoyClient struct {
	client *http.Client
	url    string
}

var _ checker = (*envoyClient)(nil)

func newEnvoyClient(address string) *envoyClient {
	return &envoyClient{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		url:    "http://" + address + "/orders/7",
	}
}

func (t *envoyClient) check(ctx context.Context, p pair) outcome {
	// Envoy answers after it has waited for the service.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*envoyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return unanswered
	}
	req.Header.Set("access_token", p.access)
	req.Header.Set("secret_token", p.secret)
	// The client forges an identity.
	req.Header.Set("X-Consumer-Id", consumers()[0])
	resp, err := t.client.Do(req)
	if err != nil {
		return unanswered
	}
	defer func() { _ = resp.Body.Close() }()
	var echo parts.Echo
	err = json.NewDecoder(resp.Body).Decode(&echo)
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable:
		return unavailable
	case resp.StatusCode != http.StatusOK:
		return denied
	case err != nil || !slices.Equal(echo.Headers["x-consumer-id"], []string{p.consumer}):
		return wrongConsumer
	}
	return allowed
}

func (t *envoyClient) close() error {
	t.client.CloseIdleConnections()
	return nil
}

// checkers returns the clients of a testbed.
func (bed *testbed) checkers() ([]checker, error) {
	if bed.envoy != nil {
		return []checker{newEnvoyClient(bed.envoy.Address(listenerName))}, nil
	}
	first, err := newGRPCClient(bed.service.GRPC)
	if err != nil {
		return nil, err
	}
	second, err := newGRPCClient(bed.service.GRPC)
	if err != nil {
		return nil, errors.Join(err, first.close())
	}
	return []checker{first, second}, nil
}
