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
		err := b.alternate(contenders, func(c *contender) ([]result, error) {
			gateway, err := b.throughEnvoy(ctx, envoy, c, rate)
			if err != nil || c.server == nil {
				return []result{gateway}, err
			}
			straight, err := b.straight(ctx, c, rate)
			return []result{gateway, straight}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// throughEnvoy measures requests to Envoy.
func (b *bench) throughEnvoy(ctx context.Context, envoy *server, c *contender, rate float64) (result, error) {
	q := c.ask(0)
	client := openloop.HTTP{
		Address: c.listener, Host: "api.example.com", Path: "/orders/7?page=2", Header: browser(q.access, q.secret),
		Status: http.StatusUnauthorized, Timeout: answerLimit,
	}
	if q.allowed {
		client.Status = http.StatusOK
	}
	servers := []*server{envoy}
	if c.server != nil {
		servers = append(servers, c.server)
	}
	return b.atRate(ctx, "envoy", rate, c, client.Connect(), servers...)
}

// straight measures checks over one connection, as an Envoy with one worker has. Its
// windows are static, as Envoy's are: by default grpc-go sends a ping with each call of
// those that come one by one, which the server has to answer.
func (b *bench) straight(ctx context.Context, c *contender, rate float64) (result, error) {
	conn, err := grpc.NewClient(c.server.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(1<<20), grpc.WithStaticConnWindowSize(1<<20))
	if err != nil {
		return result{}, err
	}
	defer func() { _ = conn.Close() }()
	caller := checker{authv3.NewAuthorizationClient(conn), c.ask(0)}
	connect := func(context.Context) (openloop.Caller, error) { return caller, nil }
	return b.atRate(ctx, "straight", rate, c, connect, c.server)
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

// atRate puts load on servers, and measures latencies, how late the generator itself was
// (latencies that are not far above that are its own), and the CPU of each server for a
// request.
func (b *bench) atRate(ctx context.Context, via string, rate float64, c *contender, connect func(context.Context) (openloop.Caller, error), servers ...*server) (result, error) {
	load := openloop.Config{Rate: rate, Duration: settle, Connections: openConnections}
	if _, err := openloop.Run(ctx, load, connect); err != nil {
		return result{}, err
	}
	load.Duration = b.span
	used, err := usage(servers...)
	if err != nil {
		return result{}, err
	}
	answers, err := openloop.Run(ctx, load, connect)
	if err != nil {
		return result{}, err
	}
	n := len(answers.Latencies)
	if answers.Failed > 0 {
		return result{}, fmt.Errorf("%d of %d requests failed: %w", answers.Failed, answers.Failed+n, answers.Err)
	}
	cpu, err := used()
	figures := []figure{
		duration(answers.Percentile(0.5), "p50-ns"), duration(answers.Percentile(0.99), "p99-ns"), duration(answers.Lag, "generator-p99-ns"),
	}
	for i, s := range servers {
		unit := "authorizer-CPU-ns"
		if s != c.server {
			unit = "envoy-CPU-ns"
		}
		figures = append(figures, figure{cpu[i] / float64(n), unit})
	}
	keys := []string{"via", via, "rate", strconv.FormatFloat(rate, 'f', -1, 64), "server", c.name}
	return result{name: "Open", n: n, keys: keys, figures: figures}, err
}
