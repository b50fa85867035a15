package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/vault-authz/vault-authz/internal/config"
)

func healthcheckCommand(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a running service whether it is ready (for container probes)",
		Long: "healthcheck asks the gRPC health service at the address in the configuration, or at --address.\n" +
			"It exits with 0 when the service is ready, else with 1. With grpc.cert_file in the configuration it expects\n" +
			"that certificate; where client certificates are asked for, give one with --cert-file and --key-file.",
		Example: "  vault-authz healthcheck --config /etc/vault-authz/config.yaml\n" +
			"  vault-authz healthcheck --address 127.0.0.1:9191",
		Args: noArgs,
	}
	path := configFlag(cmd)
	address := cmd.Flags().String("address", "", "`ADDRESS` of the gRPC service, instead of the configuration's")
	var t clientTLS
	t.register(cmd.Flags())
	timeout := cmd.Flags().Duration("timeout", 2*time.Second, "how long to wait")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		at, own := *address, ""
		if at == "" {
			c, err := config.Load(*path, p.Environ)
			if err != nil {
				return err
			}
			at, own = c.Listen.GRPC, c.GRPC.CertFile
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		if err := healthcheck(ctx, at, &t, own); err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "ready")
		return err
	}
	return cmd
}

func healthcheck(ctx context.Context, address string, t *clientTLS, own string) error {
	conn, err := dial(address, t, own)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	res, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("not reached: %w%s", explainCall(err), t.hint(own))
	}
	if res.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return errors.New("not ready")
	}
	return nil
}

// explainCall says so where the address of a gRPC call belongs to an HTTP/1.1 server.
func explainCall(err error) error {
	if strings.Contains(err.Error(), "looked like an HTTP/1.1 header") {
		return errors.New("what answers there speaks HTTP/1.1, like the admin API, the probes and metrics; this needs the address that Envoy asks (listen.grpc), " + defaultAddress + " by default")
	}
	return err
}

// dial opens a connection to a service on an address as in the configuration. A
// service that listens on all addresses is reached on loopback. own is the file of its
// certificate, if that is known.
func dial(address string, t *clientTLS, own string) (*grpc.ClientConn, error) {
	creds, err := t.credentials(own)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(address, "unix:") {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, errors.New("the address must be HOST:PORT without a scheme, like " + defaultAddress + ", or unix:/PATH")
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		address = net.JoinHostPort(host, port)
	}
	return grpc.NewClient(address, grpc.WithTransportCredentials(creds))
}
