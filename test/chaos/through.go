package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/vault-authz/vault-authz/test/parts"
)

// gate is the name of Envoy's listener. It lets through what the service fails
// to decide: whatever does reach the upstream then is a wrong allow.
const gate = "gate"

// startEnvoy puts an Envoy and an upstream before the service.
func (bed *testbed) startEnvoy(ctx context.Context, binary string) error {
	var err error
	if bed.upstream, err = parts.StartUpstream(ctx, "127.0.0.1:0"); err != nil {
		return err
	}
	bed.envoy, err = parts.StartEnvoy(ctx, parts.EnvoyConfig{
		Binary: binary, Dir: bed.dir, Upstream: bed.upstream.Address(),
		Listeners: []parts.Listener{{Name: gate, Authz: bed.service.GRPC, Timeout: patience, FailureModeAllow: true, EncodeRawHeaders: true}},
	})
	if err != nil {
		return err
	}
	bed.processes = append(bed.processes, bed.envoy.Process)
	return nil
}

// A through asks for something behind Envoy.
type through struct {
	client *http.Client
	url    string
}

var _ asker = (*through)(nil)

func newThrough(address string) *through {
	return &through{
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
		url:    "http://" + address + "/orders/7",
	}
}

func (t *through) ask(ctx context.Context, p pair) outcome {
	// Envoy waits for the service first, and then answers.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return silent
	}
	req.Header.Set("access_token", p.access)
	req.Header.Set("secret_token", p.secret)
	// A client may say who it would like to be.
	req.Header.Set("X-Consumer-Id", consumers()[0])
	resp, err := t.client.Do(req)
	if err != nil {
		return silent
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
		return mistaken
	}
	return allowed
}

func (t *through) close() error {
	t.client.CloseIdleConnections()
	return nil
}

// askers are those that a testbed is asked by.
func (bed *testbed) askers() ([]asker, error) {
	if bed.envoy != nil {
		return []asker{newThrough(bed.envoy.Address(gate))}, nil
	}
	first, err := newDirect(bed.service.GRPC)
	if err != nil {
		return nil, err
	}
	second, err := newDirect(bed.service.GRPC)
	if err != nil {
		return nil, errors.Join(err, first.close())
	}
	return []asker{first, second}, nil
}
