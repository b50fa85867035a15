package server

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// grpc-go bounds how long a connection may leave what was sent unacknowledged, and reads
// without a buffer for each idle connection, only where a listener gives it the connection
// of the net package, and not one of ours around that.
func TestAConnectionWhosePeerIsGoneEndsInTime(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ln, err := Listen(ctx, "127.0.0.1:0", DefaultSocket())
	if err != nil {
		t.Fatal(err)
	}
	probes, err := Listen(ctx, "127.0.0.1:0", DefaultSocket())
	if err != nil {
		t.Fatal(err)
	}
	accepted := acceptedListener{ln, make(chan *net.TCPConn, 1)}
	s := New(zap.NewNop(), grpc.NewServer(GRPCOptions()...), nil, Drain{Timeout: time.Second})
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, Listeners{GRPC: accepted, Probes: probes}, nil) }()
	conn, err := grpc.NewClient(Address(ln), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	raw, err := (<-accepted.connections).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var timeout int
	var failed error
	if err := raw.Control(func(fd uintptr) {
		timeout, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if want := int(keepaliveTimeout.Milliseconds()); timeout != want {
		t.Errorf("TCP_USER_TIMEOUT: got %d ms, want %d ms", timeout, want)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// An acceptedListener tells of the first connection that it accepts.
type acceptedListener struct {
	net.Listener
	connections chan *net.TCPConn
}

// Accept implements [net.Listener].
func (l acceptedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		select {
		case l.connections <- tcp:
		default:
		}
	}
	return conn, err
}
