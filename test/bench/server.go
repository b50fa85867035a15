package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/cache"
	"github.com/vault-authz/vault-authz/envoy"
	"github.com/vault-authz/vault-authz/internal/logging"
	"github.com/vault-authz/vault-authz/internal/memkv"
	"github.com/vault-authz/vault-authz/internal/server"
	"github.com/vault-authz/vault-authz/vaultkv"
)

// serve runs one server until its standard input ends, and answers each line on
// it with the CPU time used, in nanoseconds.
func serve(ctx context.Context, kind string) error {
	srv, err := newServer(kind)
	if err != nil {
		return err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Stop()
	fmt.Println(ln.Addr())
	lines := bufio.NewReader(os.Stdin)
	for {
		if _, err := lines.ReadString('\n'); err != nil {
			return nil
		}
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			return err
		}
		fmt.Println(u.Utime.Nano() + u.Stime.Nano())
	}
}

func newServer(kind string) (*grpc.Server, error) {
	switch kind {
	case "noop":
		srv := grpc.NewServer()
		authv3.RegisterAuthorizationServer(srv, noop{})
		return srv, nil
	case "vault-authz":
		return product()
	}
	return nil, fmt.Errorf("unknown kind of server %q", kind)
}

// noop allows everything, without a look.
type noop struct {
	authv3.UnimplementedAuthorizationServer
}

func (noop) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{}, nil
}

// product is the service as it is shipped, metrics and decision log included,
// on an engine in memory.
func product() (*grpc.Server, error) {
	engine := memkv.New()
	put := func(access string) error {
		document, err := json.Marshal(map[string]any{
			"access_token": access, "secret_token": secretToken, "consumer": map[string]string{"id": consumerID},
		})
		engine.Put(access, document)
		return err
	}
	if err := put(accessToken); err != nil {
		return nil, err
	}
	digester := authz.NewDigester()
	log, err := logging.New(logging.Config{Level: "info", Format: logging.FormatJSON}, io.Discard)
	if err != nil {
		return nil, err
	}
	limits := cache.DefaultConfig()
	limits.MissesPerSecond = 0
	limits.AbsentTTL = 10 * time.Second
	store, err := cache.New(limits, vaultkv.NewStore("memory", engine, digester, zap.NewNop()).Lookup, cache.Rules[authz.Credential]{
		Absent: func(err error) bool { return errors.Is(err, authz.ErrNotFound) },
	})
	if err != nil {
		return nil, err
	}
	policy := authz.DefaultPolicy()
	policy.Name, policy.Vault = "default", "memory"
	snapshot, err := authz.NewSnapshot([]authz.Policy{policy},
		[]authz.Consumer{{ID: consumerID, Username: "alice", CustomID: "c-1", Groups: []string{"gold", "eu"}}},
		map[string]authz.Source{"memory": store})
	if err != nil {
		return nil, err
	}
	reg := prometheus.NewRegistry()
	metrics, lines := authz.NewMetrics(reg), authz.NewDecisionLog(log, 100)
	srv := server.NewGRPC(envoy.NewCodec(1<<20, reg))
	envoy.Register(srv, envoy.NewService(authz.New(snapshot, digester, authz.DefaultGrammar()), envoy.Options{
		Observer: func(_ context.Context, r *authz.Request, d *authz.Decision, took time.Duration) {
			metrics.Count(d, took)
			lines.Write(r, d, took)
		},
	}))
	return srv, nil
}
