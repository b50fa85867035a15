package main

import (
	"context"
	"encoding/json"
	"net"
	"os"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
)

// noop allows everything, without a look.
type noop struct {
	authv3.UnimplementedAuthorizationServer
}

// Check implements [authv3.AuthorizationServer].
func (noop) Check(context.Context, *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	return &authv3.CheckResponse{}, nil
}

// serveNoop runs the stub until ctx ends, with every setting of grpc-go as it
// comes, but for the size of messages. It tells where it listens as vault-authz does, in a file.
func serveNoop(ctx context.Context, addressesFile string) error {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	raw, err := json.Marshal(map[string]string{"grpc": ln.Addr().String()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(addressesFile+".new", raw, 0o600); err != nil {
		return err
	}
	if err := os.Rename(addressesFile+".new", addressesFile); err != nil {
		return err
	}
	srv := grpc.NewServer(grpc.MaxRecvMsgSize(32 << 20))
	authv3.RegisterAuthorizationServer(srv, noop{})
	defer context.AfterFunc(ctx, srv.Stop)()
	return srv.Serve(ln)
}
