package envoy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	protocodec "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// A meteredListener counts the bytes that its connections read.
type meteredListener struct {
	net.Listener

	read *atomic.Int64
}

func (l meteredListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return meteredConn{conn, l.read}, err
}

type meteredConn struct {
	net.Conn

	read *atomic.Int64
}

func (c meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// sharedBytes is a codec for clients that sends bytes without a copy.
type sharedBytes struct{ encoding.CodecV2 }

func (c sharedBytes) Marshal(v any) (mem.BufferSlice, error) {
	if data, ok := v.([]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(data)}, nil
	}
	return c.CodecV2.Marshal(v)
}

// serveMetered serves in memory and returns n connections, with the number of bytes that the server
// has read from them.
func serveMetered(tb testing.TB, server *grpc.Server, connections int) (conns []*grpc.ClientConn, read *atomic.Int64) {
	tb.Helper()
	listener := bufconn.Listen(1 << 20)
	read = new(atomic.Int64)
	go func() { _ = server.Serve(meteredListener{listener, read}) }()
	tb.Cleanup(server.Stop)
	for range connections {
		conn, err := grpc.NewClient("passthrough:///bufconn",
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(sharedBytes{encoding.GetCodecV2(protocodec.Name)})))
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	return conns, read
}

func checkBytes(ctx context.Context, conn *grpc.ClientConn, message []byte) (*authv3.CheckResponse, error) {
	var out authv3.CheckResponse
	if err := conn.Invoke(ctx, authv3.Authorization_Check_FullMethodName, message, &out); err != nil {
		return nil, fmt.Errorf("the call failed, so failure_mode_allow decides: %w", err)
	}
	return &out, nil
}

func TestMessagesOverTheLimitAreDeniedWithoutBeingRead(t *testing.T) {
	t.Parallel()
	const calls = 8
	for _, size := range []int{60 << 20, 70 << 20} {
		message := make([]byte, size)
		for _, connections := range []int{1, calls} {
			t.Run(fmt.Sprintf("%d bytes on %d connections", size, connections), func(t *testing.T) {
				t.Parallel()
				conns, read := serveMetered(t, NewServer(NewService(likeTheProduct(), Options{}), limit, prometheus.NewRegistry()), connections)
				var all sync.WaitGroup
				for i := range calls {
					all.Go(func() {
						out, err := checkBytes(t.Context(), conns[i%connections], message)
						if err != nil {
							t.Error(err)
							return
						}
						mustDeny(t, out, http.StatusForbidden)
					})
				}
				all.Wait()
				if n, most := read.Load(), int64(2*calls*streamWindow); n > most {
					t.Errorf("the server read %d bytes, want at most %d", n, most)
				}
			})
		}
	}
}

// Memory is limited only if a peer cannot send data that the server does not read yet.
func TestAMessageThatWaitsForRoomIsNotRead(t *testing.T) {
	t.Parallel()
	const waiting = 16
	decider := &held{release: make(chan struct{})}
	server := NewServer(NewService(decider, Options{}), limit, prometheus.NewRegistry(),
		grpc.InitialWindowSize(limit), grpc.InitialConnWindowSize(limit))
	conns, read := serveMetered(t, server, 1)
	message := requestOf(t, limit)
	var all sync.WaitGroup
	denied := make(chan struct{}, waiting)
	for range largeMessages + waiting {
		all.Go(func() {
			out, err := checkBytes(t.Context(), conns[0], message)
			if err != nil {
				t.Error(err)
			}
			if out.GetOkResponse() == nil {
				mustDeny(t, out, http.StatusServiceUnavailable)
				denied <- struct{}{}
			}
		})
	}
	for range waiting {
		<-denied // after roomWait
	}
	if n, most := read.Load(), int64(largeMessages*limit+2*waiting*streamWindow); n > most {
		t.Errorf("the server read %d bytes, want at most %d", n, most)
	}
	close(decider.release)
	all.Wait()
}

// brokenCodec fails for every message.
type brokenCodec struct{}

func (brokenCodec) Name() string                         { return protocodec.Name }
func (brokenCodec) Marshal(any) (mem.BufferSlice, error) { return nil, errors.ErrUnsupported }
func (brokenCodec) Unmarshal(mem.BufferSlice, any) error { return errors.ErrUnsupported }
func intercepting(seen *atomic.Int64) grpc.ServerOption {
	return grpc.UnaryInterceptor(func(ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		seen.Add(1)
		return next(ctx, in)
	})
}

func TestAServerAnswersWithAllOptions(t *testing.T) {
	t.Parallel()
	var intercepted atomic.Int64
	for name, options := range map[string][]grpc.ServerOption{
		"none":           nil,
		"another codec":  {grpc.ForceServerCodecV2(brokenCodec{})},
		"tiny messages":  {grpc.MaxRecvMsgSize(1)},
		"an interceptor": {intercepting(&intercepted)},
		"wide windows":   {grpc.InitialWindowSize(1 << 30)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conns, _ := serveMetered(t, NewServer(NewService(likeTheProduct(), Options{}), limit, prometheus.NewRegistry(), options...), 1)
			for _, size := range []int{100, 1 << 20} {
				out, err := checkBytes(t.Context(), conns[0], requestOf(t, size))
				if err != nil {
					t.Fatal(err)
				}
				if out.GetOkResponse() == nil {
					t.Errorf("%d bytes: got %v, want an allow", size, out)
				}
			}
		})
	}
	t.Cleanup(func() {
		if n := intercepted.Load(); n != 2 {
			t.Errorf("the interceptor saw %d calls, want 2", n)
		}
	})
}

func TestOtherServicesAreServedAsUsual(t *testing.T) {
	t.Parallel()
	server := NewServer(NewService(likeTheProduct(), Options{}), 1, prometheus.NewRegistry())
	healthpb.RegisterHealthServer(server, health.NewServer())
	conns, _ := serveMetered(t, server, 1)
	out, err := healthpb.NewHealthClient(conns[0]).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || out.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v, want SERVING", out, err)
	}
	err = conns[0].Invoke(t.Context(), healthpb.Health_Check_FullMethodName, []byte("\xff\xff"), new(healthpb.HealthCheckResponse))
	if status.Code(err) != codes.Internal {
		t.Errorf("garbage: got %v, want an internal error", err)
	}
}
