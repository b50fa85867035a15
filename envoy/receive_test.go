package envoy

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/vault-authz/vault-authz/authz"
)

// A fakeStream is the stream of a call, as the transport of grpc-go has it.
type fakeStream struct {
	grpc.ServerTransportStream

	ctx  context.Context //nolint:containedctx // as grpc-go's has it
	data []byte
	// silent says that the stream blocks after data, without an end.
	silent bool
	// asked is the largest read of the message.
	asked int
	piece mem.BufferSlice
}

func (s *fakeStream) next(n int) ([]byte, error) {
	if len(s.data) < n && s.silent {
		<-s.ctx.Done()
		return nil, s.ctx.Err()
	}
	if len(s.data) == 0 && n > 0 {
		return nil, io.EOF
	}
	if len(s.data) < n {
		return nil, io.ErrUnexpectedEOF
	}
	next := s.data[:n]
	s.data = s.data[n:]
	return next, nil
}

func (s *fakeStream) ReadMessageHeader(prefix []byte) error {
	next, err := s.next(len(prefix))
	copy(prefix, next)
	return err
}

// Read returns a large piece as two buffers, as a transport may.
func (s *fakeStream) Read(n int) (mem.BufferSlice, error) {
	s.asked = max(s.asked, n)
	next, err := s.next(n)
	if err != nil {
		return nil, err
	}
	const frame = 16 << 10
	s.piece = append(s.piece[:0], mem.SliceBuffer(next[:min(n, frame)]))
	if n > frame {
		s.piece = append(s.piece, mem.SliceBuffer(next[frame:]))
	}
	return s.piece, nil
}

// framed returns a message with the prefix of gRPC.
func framed(message []byte) []byte { return slices.Concat(announced(len(message)), message) }

func announced(n int) []byte { return binary.BigEndian.AppendUint32([]byte{0}, uint32(n)) }

// requestOf returns a request of n bytes.
func requestOf(tb testing.TB, n int) []byte {
	tb.Helper()
	get, path := textField(2, "GET"), textField(4, "/orders")
	const overhead = 40 // the maximum size without the body
	for body := n - overhead; body < n; body++ {
		if data := httpMessage(get, path, textField(12, string(make([]byte, body)))); len(data) == n {
			return data
		}
	}
	tb.Fatalf("there is no request of %d bytes", n)
	return nil
}

// limit is the maximum message size in these tests.
const limit = 1 << 20

func newEndpoint(s *Service) *endpoint {
	return &endpoint{Service: s, receiver: newReceiver(limit, prometheus.NewRegistry()), counter: newCallCounter()}
}

// call makes a call like grpc-go.
func (e *endpoint) call(ctx context.Context, stream *fakeStream) (*authv3.CheckResponse, error) {
	stream.ctx = ctx
	answer, err := handle(e, grpc.NewContextWithServerTransportStream(ctx, stream), nil, nil)
	if err != nil {
		return nil, fmt.Errorf("the call failed, so failure_mode_allow decides: %w", err)
	}
	var out authv3.CheckResponse
	return &out, proto.Unmarshal(answer.(*reply).take().Materialize(), &out)
}

func (e *endpoint) counted(cause decoding) int { return int(testutil.ToFloat64(e.refused[cause])) }

// likeTheProduct allows every HTTP request.
func likeTheProduct() Decider {
	return deciderFunc(func(_ context.Context, r *authz.Request) authz.Decision {
		if r.HTTP {
			return allowAlice()
		}
		return authz.Decision{Reason: authz.ReasonNotHTTP}
	})
}

func TestAMessageThatCannotBeReadIsDeniedAndCounted(t *testing.T) {
	t.Parallel()
	good := requestOf(t, 100)
	badUTF8 := bytes.Replace(good, []byte("/orders"), []byte("/order\xff"), 1)
	large := requestOf(t, limit)
	tests := []struct {
		name    string
		data    []byte
		allowed bool
		cause   decoding
	}{
		{name: "good", data: framed(good), allowed: true},
		{name: "large", data: framed(large), allowed: true},
		{name: "as large as is read at once", data: framed(requestOf(t, streamWindow-prefixSize)), allowed: true},
		{name: "larger than a piece by a byte", data: framed(requestOf(t, pieceSize+1)), allowed: true},
		{name: "larger than that by a byte", data: framed(requestOf(t, streamWindow-prefixSize+1)), allowed: true},
		{name: "too large by a byte", data: announced(limit + 1), cause: tooLarge},
		{name: "larger than an int32", data: []byte{0, 0xff, 0xff, 0xff, 0xff}, cause: tooLarge},
		{name: "nothing at all", cause: undecodable},
		{name: "half a prefix", data: []byte{0, 0, 0}, cause: undecodable},
		{name: "an empty message", data: framed(nil), cause: decoded},
		{name: "compressed", data: slices.Concat([]byte{1}, framed(good)[1:]), cause: undecodable},
		{name: "ends early", data: framed(good)[:50], cause: undecodable},
		{name: "large and ends early", data: framed(large)[:limit/2], cause: undecodable},
		{name: "two messages", data: slices.Concat(framed(good), framed(good)), cause: undecodable},
		{name: "two large messages", data: slices.Concat(framed(large), framed(large)), cause: undecodable},
		{name: "cut off inside", data: framed(good[:len(good)-1]), cause: undecodable},
		{name: "not UTF-8", data: framed(badUTF8), cause: undecodable},
		{name: "garbage", data: framed([]byte("\xff\xff\xff")), cause: undecodable},
		{name: "large garbage", data: framed(bytes.Repeat([]byte("\xff"), limit)), cause: undecodable},
		{name: "as many headers as are read", data: framed(crowd(maxHeaders)), allowed: true},
		{name: "too many headers", data: framed(crowd(maxHeaders + 1)), cause: tooManyFields},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(NewService(likeTheProduct(), Options{}))
			out, err := e.call(t.Context(), &fakeStream{data: test.data})
			if err != nil {
				t.Fatal(err)
			}
			if test.allowed {
				test.cause = decoded
				if out.GetOkResponse() == nil {
					t.Errorf("got %v, want it allowed", out)
				}
			} else {
				mustDeny(t, out, http.StatusForbidden)
			}
			for cause := range canceled {
				want := 0
				if cause == test.cause {
					want = 1
				}
				if n := e.counted(cause); n != want {
					t.Errorf("cause %d: counted %d, want %d", cause, n, want)
				}
			}
			if room := e.room.TryAcquire(largeMessages * limit); !room {
				t.Error("the call has ended and still occupies room")
			}
		})
	}
}

func TestACallWithoutATransportIsDenied(t *testing.T) {
	t.Parallel()
	e := newEndpoint(NewService(likeTheProduct(), Options{}))
	answer, err := handle(e, t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	var out authv3.CheckResponse
	if err := proto.Unmarshal(answer.(*reply).take().Materialize(), &out); err != nil {
		t.Fatal(err)
	}
	mustDeny(t, &out, http.StatusForbidden)
}

// A panic while reading must deny, like a panic in the decider.
func TestAPanicWhileReadingDenies(t *testing.T) {
	t.Parallel()
	s := NewService(likeTheProduct(), Options{})
	s.calls.of = nil
	e := newEndpoint(s)
	out, err := e.call(t.Context(), &fakeStream{data: framed(requestOf(t, 100))})
	if err != nil {
		t.Fatal(err)
	}
	mustDeny(t, out, http.StatusForbidden)
	if n := e.counted(undecodable); n != 1 {
		t.Errorf("undecodable: counted %d, want 1", n)
	}
}

// A read lets the peer send as many bytes.
func TestALargeMessageIsReadInPiecesAndATooLargeOneNotAtAll(t *testing.T) {
	t.Parallel()
	e := newEndpoint(NewService(likeTheProduct(), Options{}))
	for size, want := range map[int]int{limit: pieceSize, pieceSize / 2: pieceSize / 2, limit + 1: 0} {
		stream := &fakeStream{data: framed(requestOf(t, size))}
		if _, err := e.call(t.Context(), stream); err != nil {
			t.Fatal(err)
		}
		if stream.asked != want {
			t.Errorf("a message of %d bytes: the largest read is %d bytes, want %d", size, stream.asked, want)
		}
	}
}

// held is a decider that waits for a signal.
type held struct {
	mu      sync.Mutex
	waiting int
	release chan struct{}
}

func (h *held) Check(_ context.Context, r *authz.Request) authz.Decision {
	if !r.HTTP {
		return authz.Decision{Reason: authz.ReasonNotHTTP}
	}
	h.mu.Lock()
	h.waiting++
	h.mu.Unlock()
	<-h.release
	return allowAlice()
}

// start makes a call in the background.
func (e *endpoint) start(ctx context.Context, stream *fakeStream) <-chan *authv3.CheckResponse {
	answered := make(chan *authv3.CheckResponse, 1)
	go func() {
		ctx, over := context.WithCancel(ctx)
		defer over() // like grpc-go
		out, err := e.call(ctx, stream)
		if err != nil {
			panic(err)
		}
		answered <- out
	}()
	return answered
}

// inTime waits for an answer that is due after a time.
func inTime(t *testing.T, answered <-chan *authv3.CheckResponse, after time.Duration) *authv3.CheckResponse {
	t.Helper()
	began := time.Now()
	out := <-answered
	if took := time.Since(began); took != after {
		t.Errorf("answered after %s, want %s", took, after)
	}
	return out
}

func TestLargeMessagesWaitForRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		decider := &held{release: make(chan struct{})}
		e := newEndpoint(NewService(decider, Options{}))
		large := framed(requestOf(t, limit))
		calls := make([]<-chan *authv3.CheckResponse, 3)
		for i := range calls {
			calls[i] = e.start(t.Context(), &fakeStream{data: large})
			synctest.Wait()
		}
		if decider.waiting != largeMessages {
			t.Errorf("%d large messages are in memory at a time, want %d", decider.waiting, largeMessages)
		}
		// The third gets the room of the first.
		decider.release <- struct{}{}
		synctest.Wait()
		if decider.waiting != largeMessages+1 {
			t.Error("a waiting message does not get the room of an answered one")
		}
		close(decider.release)
		for _, answered := range calls {
			if out := inTime(t, answered, 0); out.GetOkResponse() == nil {
				t.Errorf("got %v, want an allow", out)
			}
		}
	})
}

func TestALargeMessageWithoutRoomIsUnavailableBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	for deadline, want := range map[time.Duration]time.Duration{0: roomWait, time.Minute: roomWait, 200 * time.Millisecond: 100 * time.Millisecond} {
		t.Run(deadline.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				decider := &held{release: make(chan struct{})}
				e := newEndpoint(NewService(decider, Options{}))
				large := framed(requestOf(t, limit))
				for range largeMessages {
					e.start(t.Context(), &fakeStream{data: large})
				}
				synctest.Wait()
				ctx := t.Context()
				if deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, deadline)
					defer cancel()
				}
				mustDeny(t, inTime(t, e.start(ctx, &fakeStream{data: large}), want), http.StatusServiceUnavailable)
				if n := e.counted(noRoom); n != 1 {
					t.Errorf("no room: counted %d, want 1", n)
				}
				close(decider.release)
			})
		})
	}
}

func TestLargeMessagesThatDoNotArriveDoNotBlockOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint(NewService(likeTheProduct(), Options{}))
		large := framed(requestOf(t, limit))
		slow := make([]<-chan *authv3.CheckResponse, 4*largeMessages)
		for i := range slow {
			slow[i] = e.start(t.Context(), &fakeStream{data: large[:limit/2], silent: true})
		}
		synctest.Wait()
		small := e.start(t.Context(), &fakeStream{data: framed(requestOf(t, streamWindow-prefixSize))})
		if out := inTime(t, small, 0); out.GetOkResponse() == nil {
			t.Errorf("a small message at the same time: got %v, want an allow", out)
		}
		time.Sleep(arrivalTime)
		synctest.Wait()
		for _, answered := range slow {
			mustDeny(t, inTime(t, answered, 0), http.StatusServiceUnavailable)
		}
		if n := e.counted(tooSlow); n != largeMessages {
			t.Errorf("too slow: counted %d, want %d", n, largeMessages)
		}
		if out := inTime(t, e.start(t.Context(), &fakeStream{data: large}), 0); out.GetOkResponse() == nil {
			t.Errorf("a large message afterwards: got %v, want an allow", out)
		}
	})
}

func TestACallThatIsCanceledWhileItsMessageArrivesIsNotCountedAsRefused(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"before anything":         nil,
		"in a small message":      framed(requestOf(t, 100))[:50],
		"before it says its end":  framed(requestOf(t, 100)),
		"in a large message":      framed(requestOf(t, 1<<17))[:1<<16],
		"a large one, at its end": framed(requestOf(t, 1<<17)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var heard observed
				e := newEndpoint(NewService(likeTheProduct(), Options{Observer: heard.hear}))
				ctx, cancel := context.WithCancel(t.Context())
				answered := e.start(ctx, &fakeStream{data: data, silent: true})
				synctest.Wait()
				cancel()
				mustDeny(t, inTime(t, answered, 0), http.StatusServiceUnavailable)
				if heard.decision.Reason != authz.ReasonCanceled {
					t.Errorf("the observer got %s, want canceled", heard.decision.Reason)
				}
				for cause := range canceled {
					if n := e.counted(cause); n != 0 {
						t.Errorf("cause %d: counted %d, want 0", cause, n)
					}
				}
				synctest.Wait()
				if room := e.room.TryAcquire(largeMessages * limit); !room {
					t.Error("the call has ended and still occupies room")
				}
			})
		})
	}
}
