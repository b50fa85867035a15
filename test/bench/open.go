package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vault-authz/vault-authz/test/bench/openloop"
)

const (
	// openConnections of the load: more than are ever busy at once, unless something is
	// too slow.
	openConnections = 32
	// settle is how long a contender is used before a round of it is counted.
	settle = 300 * time.Millisecond
	// answerLimit bounds one request.
	answerLimit = 10 * time.Second
)

// openLoop is what a check costs at a fixed rate, through a real Envoy and straight:
// CPU of both processes and latency. This is what a gateway's operator sees.
func openLoop(ctx context.Context, b *bench) error {
	if b.envoy == "" {
		return errors.New("set ENVOY_BIN to an Envoy; make bench does")
	}
	contenders, stop, err := b.contenders(ctx, product{})
	defer stop()
	if err != nil {
		return err
	}
	if len(b.trials) == 0 {
		contenders = append(contenders,
			contender{name: "vault-authz,denied", server: contenders[1].server, ask: wrongSecret},
			contender{name: "no-authorizer", ask: hit},
			contender{name: "api_key_auth", ask: hit, key: accessToken})
	}
	envoy, err := b.startGateway(ctx, contenders)
	if err != nil {
		return err
	}
	defer b.stop(envoy)
	for _, rate := range b.rates {
		err := alternate(contenders, b.rounds, func(c *contender) error {
			if err := b.throughEnvoy(ctx, envoy, c, rate); err != nil {
				return err
			}
			return b.straight(ctx, c, rate)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// throughEnvoy measures a round of requests to Envoy.
func (b *bench) throughEnvoy(ctx context.Context, envoy *server, c *contender, rate float64) error {
	q := c.ask(0)
	client := openloop.HTTP{
		Address: c.listener, Host: "api.example.com", Path: "/orders/7?page=2", Header: browser(q.access, q.secret),
		Status: http.StatusUnauthorized, Timeout: answerLimit,
	}
	if q.allowed {
		client.Status = http.StatusOK
	}
	result, cpu, err := b.atRate(ctx, rate, client.Connect(), envoy, c.server)
	if err != nil {
		return err
	}
	figures := append(latencies(&result), figure{cpu[0], "envoy-CPU-ns"})
	if c.server != nil {
		figures = append(figures, figure{cpu[1], "authorizer-CPU-ns"})
	}
	b.addOpen("envoy", rate, c, &result, figures)
	return nil
}

// straight measures a round of checks over one connection, as an Envoy with one worker
// has.
func (b *bench) straight(ctx context.Context, c *contender, rate float64) error {
	if c.server == nil {
		return nil
	}
	conn, err := grpc.NewClient(c.server.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	caller := checker{authv3.NewAuthorizationClient(conn), c.ask(0)}
	connect := func(context.Context) (openloop.Caller, error) { return caller, nil }
	result, cpu, err := b.atRate(ctx, rate, connect, c.server)
	if err != nil {
		return err
	}
	b.addOpen("straight", rate, c, &result, append(latencies(&result), figure{cpu[0], "authorizer-CPU-ns"}))
	return nil
}

// A checker makes checks over a connection that others use, too.
type checker struct {
	client   authv3.AuthorizationClient
	question question
}

// Call implements [openloop.Caller].
func (c checker) Call(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return check(ctx, c.client, c.question)
}

// Close implements [openloop.Caller].
func (checker) Close() error { return nil }

// atRate puts load on servers, and returns what came of it with the CPU time of each
// of them for a request, in nanoseconds.
func (b *bench) atRate(ctx context.Context, rate float64, connect func(context.Context) (openloop.Caller, error), servers ...*server) (openloop.Result, []float64, error) {
	load := openloop.Config{Rate: rate, Duration: settle, Connections: openConnections}
	if _, err := openloop.Run(ctx, load, connect); err != nil {
		return openloop.Result{}, nil, err
	}
	load.Duration = b.span
	used, err := usage(servers...)
	if err != nil {
		return openloop.Result{}, nil, err
	}
	result, err := openloop.Run(ctx, load, connect)
	if err != nil {
		return result, nil, err
	}
	if result.Failed > 0 {
		return result, nil, fmt.Errorf("%d of %d requests failed: %w", result.Failed, result.Failed+len(result.Latencies), result.Err)
	}
	cpu, err := used()
	for i := range cpu {
		cpu[i] /= float64(len(result.Latencies))
	}
	return result, cpu, err
}

// latencies are those of the requests, and how late the generator was: latencies that
// are not far above that are the generator's own.
func latencies(r *openloop.Result) []figure {
	return []figure{
		duration(r.Percentile(0.5), "p50-ns"), duration(r.Percentile(0.99), "p99-ns"), duration(r.Lag, "generator-p99-ns"),
	}
}

func (b *bench) addOpen(via string, rate float64, c *contender, r *openloop.Result, figures []figure) {
	b.add("Open", len(r.Latencies), []string{"via", via, "rate", strconv.FormatFloat(rate, 'f', -1, 64), "server", c.name}, figures...)
}
