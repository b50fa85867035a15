package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"text/template"
	"time"

	"github.com/vault-authz/vault-authz/test/bench/openloop"
	"github.com/vault-authz/vault-authz/test/parts"
)

// connections of the load on the gateway: more than are ever busy at once unless
// something is too slow.
const connections = 64

// settle is how long a way is used before a round of it is counted.
const settle = 500 * time.Millisecond

// A way is a way for Envoy to authorize, with a listener of its own.
type way struct {
	Name string
	Port int
	// Authz is the server that Envoy asks, nil for none, and Key the one key of
	// Envoy's own filter, empty for none.
	Authz *server
	Key   string
}

// AuthzHost returns the host of the server.
func (w *way) AuthzHost() (string, error) {
	host, _, err := net.SplitHostPort(w.Authz.GRPC)
	return host, err
}

// AuthzPort returns its port.
func (w *way) AuthzPort() (int, error) { return parts.Port(w.Authz.GRPC) }

// An outcome is what one way came to, round by round.
type outcome struct {
	p50, p99, p999, lag sample
	// envoy and authz are the microseconds of CPU per request.
	envoy, authz sample
}

// gateway is a request through a real Envoy at a fixed rate: section (d).
func gateway(ctx context.Context, b *bench) ([]row, error) {
	if b.envoy == "" {
		return nil, errors.New("set ENVOY_BIN to an Envoy; make bench does")
	}
	stub, err := b.startNoop(ctx)
	if err != nil {
		return nil, err
	}
	defer b.stop(stub)
	ours, err := b.startProduct(ctx, product{})
	if err != nil {
		return nil, err
	}
	defer b.stop(ours)
	ways := []*way{
		{Name: "Envoy alone"},
		{Name: "Envoy + noop", Authz: stub},
		{Name: "Envoy + vault-authz", Authz: ours},
		{Name: "Envoy's api_key_auth", Key: accessToken},
	}
	envoy, err := b.startGateway(ctx, ways)
	if err != nil {
		return nil, err
	}
	defer b.stop(envoy)
	outcomes := make([]outcome, len(ways))
	for round := range b.rounds {
		for k := range ways {
			i := (round + k) % len(ways)
			if err := outcomes[i].measure(ctx, b, envoy, ways[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", ways[i].Name, err)
			}
		}
	}
	return gatewayRows(ways, outcomes, b.rate), nil
}

// gatewayRows compares each way with noop.
func gatewayRows(ways []*way, outcomes []outcome, rate float64) []row {
	const stub, product = 1, 2
	at := fmt.Sprintf("%.0f requests a second", rate)
	var rows []row
	for i, w := range ways {
		o, base := &outcomes[i], &outcomes[stub]
		r := compared("(d) latency through Envoy, "+at+", p99", w.Name, o.p99, base.p99)
		r.value = fmt.Sprintf("p50 %s, p99 %s, p99.9 %s", microseconds(o.p50.median()), microseconds(o.p99.median()), microseconds(o.p999.median()))
		if i == product {
			// As far from noop as noop's own rounds are from their median.
			noise := slices.Max(base.p99.overMedian())
			r = r.atMost(o.p99.over(base.p99).median(), noise, "%.2f (noise of noop)")
		}
		rows = append(rows, r)
	}
	for i, w := range ways {
		o, base := &outcomes[i], &outcomes[stub]
		rows = append(rows, compared("(d) CPU per request, "+at+", Envoy's process", w.Name, o.envoy, base.envoy))
	}
	for _, i := range []int{stub, product} {
		o, base := &outcomes[i], &outcomes[stub]
		r := compared("(d) CPU per request, "+at+", the authorizer's process", ways[i].Name, o.authz, base.authz)
		if i == product {
			r = r.atMost(o.authz.over(base.authz).median(), 1, "%.2f")
		}
		rows = append(rows, r)
	}
	var lag sample
	for i := range outcomes {
		lag = append(lag, outcomes[i].lag...)
	}
	return append(rows, row{
		group: "(d) how late the generator was, p99", name: "all ways",
		value: microseconds(lag.median()), spread: lag.spread("%.0f µs"),
	})
}

// measure adds a round.
func (o *outcome) measure(ctx context.Context, b *bench, envoy *server, w *way) error {
	client := openloop.HTTP{
		Address: w.address(), Host: "api.example.com", Path: "/orders/7?page=2", Header: browser(accessToken, secretToken),
		Status: http.StatusOK, Timeout: 10 * time.Second,
	}
	c := openloop.Config{Rate: b.rate, Duration: settle, Connections: connections}
	if _, err := openloop.Run(ctx, c, client.Connect()); err != nil {
		return err
	}
	c.Duration = b.span
	used, err := usage(envoy, w.Authz)
	if err != nil {
		return err
	}
	result, err := openloop.Run(ctx, c, client.Connect())
	if err != nil {
		return err
	}
	if result.Failed > 0 {
		return fmt.Errorf("%d of %d requests failed: %w", result.Failed, result.Failed+len(result.Latencies), result.Err)
	}
	costs, err := used()
	if err != nil {
		return err
	}
	n := float64(len(result.Latencies))
	o.envoy, o.authz = append(o.envoy, costs[0]/n), append(o.authz, costs[1]/n)
	for share, to := range map[float64]*sample{0.5: &o.p50, 0.99: &o.p99, 0.999: &o.p999} {
		*to = append(*to, inMicroseconds(result.Percentile(share)))
	}
	o.lag = append(o.lag, inMicroseconds(result.Lag))
	return nil
}

// usage begins to count the CPU time of processes; what it returns tells it, in
// microseconds, 0 for a nil process.
func usage(processes ...*server) (func() ([]float64, error), error) {
	read := func() ([]float64, error) {
		used := make([]float64, len(processes))
		for i, p := range processes {
			if p == nil {
				continue
			}
			t, err := cpuTime(p.PID())
			if err != nil {
				return nil, err
			}
			used[i] = inMicroseconds(t)
		}
		return used, nil
	}
	before, err := read()
	return func() ([]float64, error) {
		after, err := read()
		for i := range after {
			after[i] -= before[i]
		}
		return after, err
	}, err
}

func inMicroseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }

func (w *way) address() string { return fmt.Sprintf("127.0.0.1:%d", w.Port) }

//go:embed gateway.yaml.tmpl
var gatewayTemplate string

// startGateway starts an Envoy with one worker and waits for its listeners.
func (m *machinery) startGateway(ctx context.Context, ways []*way) (*server, error) {
	dir, err := os.MkdirTemp(m.dir, "envoy-")
	if err != nil {
		return nil, err
	}
	for _, w := range ways {
		address, err := parts.Address(ctx, 0)
		if err != nil {
			return nil, err
		}
		if w.Port, err = parts.Port(address); err != nil {
			return nil, err
		}
	}
	config, err := gatewayConfig(ways)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		return nil, err
	}
	s, err := m.start(ctx, parts.Command{Name: "envoy", Path: m.envoy, Dir: dir, Args: []string{
		"--config-path", file, "--use-dynamic-base-id", "--base-id-path", filepath.Join(dir, "base-id"),
		"--concurrency", "1", "--log-level", "warning",
	}}, "")
	if err != nil {
		return nil, err
	}
	return s, m.await(ctx, s, func(ctx context.Context) error {
		var errs []error
		for _, w := range ways {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.address())
			if err == nil {
				err = conn.Close()
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

func gatewayConfig(ways []*way) ([]byte, error) {
	t, err := template.New("gateway").Funcs(template.FuncMap{
		// JSON, which YAML reads alike whatever is in it.
		"json": func(s string) (string, error) {
			raw, err := json.Marshal(s)
			return string(raw), err
		},
	}).Parse(gatewayTemplate)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct{ Ways []*way }{ways})
	return out.Bytes(), err
}
