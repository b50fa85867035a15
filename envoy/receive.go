package envoy

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/vault-authz/vault-authz/authz"
)

// Limits of the memory for incoming messages.
const (
	// streamWindow is how much the peer may send of a call before it is read, in bytes.
	// Each call may occupy that much memory, so it is the default of HTTP/2. Nearly all
	// check requests fit.
	streamWindow = 64 << 10
	// connectionWindow is how much the peer may send on a connection before a window
	// update. It occupies no memory, because grpc-go forwards data to the calls at once. A
	// large window saves window updates.
	connectionWindow = 16 << 20
	// largeMessages is how many messages of the maximum size fit into memory at a time.
	largeMessages = 2
	// pieceSize is how much of a large message is read at a time, in bytes.
	pieceSize = 256 << 10
	// roomWait and arrivalTime are the limits for how long a large message waits for room,
	// and then takes to arrive: a slow message must not occupy room that others wait for.
	roomWait    = time.Second
	arrivalTime = 5 * time.Second
)

// prefixSize is the size of the prefix of a gRPC message: a byte for compression, and the length.
const prefixSize = 5

// incoming is the stream of an incoming message, which the [grpc.ServerTransportStream] of grpc-go
// implements. A codec would be too late: by then grpc-go has read a message that is too large, or
// has failed the call.
type incoming interface {
	ReadMessageHeader(prefix []byte) error
	Read(n int) (mem.BufferSlice, error)
}

// A receiver receives check requests. It never fails a call because of the message: for a failed
// call failure_mode_allow of the gateway decides, so a client could influence the decision. It is
// safe for concurrent use.
//
// It reads messages up to streamWindow at once. Larger messages share memory for largeMessages of
// maxBytes, over all calls and connections, so that they cannot use up the memory or delay small
// messages.
type receiver struct {
	maxBytes int64
	room     *semaphore.Weighted
	// refused counts refused messages by cause.
	refused [canceled]prometheus.Counter
}

func newReceiver(maxBytes int, reg prometheus.Registerer) *receiver {
	refused := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "vault_authz_refused_messages_total",
		Help: "Check requests that were denied unread: too_large (raise grpc.max_request_bytes above Envoy's max_request_bytes), too_many_fields (more than 4096 headers), undecodable, no_room (too many large ones at once), or too_slow (a large one took longer than 5s to arrive).",
	}, []string{"cause"})
	return &receiver{
		maxBytes: int64(maxBytes),
		room:     semaphore.NewWeighted(largeMessages * int64(maxBytes)),
		refused: [canceled]prometheus.Counter{
			undecodable:   refused.WithLabelValues("undecodable"),
			tooManyFields: refused.WithLabelValues("too_many_fields"),
			tooLarge:      refused.WithLabelValues("too_large"),
			noRoom:        refused.WithLabelValues("no_room"),
			tooSlow:       refused.WithLabelValues("too_slow"),
		},
	}
}

// receive reads the message of a call into c. The caller must return the room of the message at the
// end of the call.
func (r *receiver) receive(ctx context.Context, c *call) (room int64) {
	result, room := r.read(ctx, c)
	if result != decoded && ctx.Err() != nil {
		result = canceled
	}
	if result < canceled {
		r.refused[result].Inc()
	}
	c.result = result
	return room
}

func (r *receiver) read(ctx context.Context, c *call) (result decoding, room int64) {
	in, ok := grpc.ServerTransportStreamFromContext(ctx).(incoming)
	if !ok || in.ReadMessageHeader(c.prefix[:]) != nil {
		return undecodable, 0
	}
	if compressed := c.prefix[0] != 0; compressed {
		return undecodable, 0
	}
	n := int64(binary.BigEndian.Uint32(c.prefix[1:]))
	switch {
	case n > r.maxBytes:
		return tooLarge, 0
	case n > streamWindow-prefixSize:
		return r.readLarge(ctx, c, in, n)
	}
	data, err := in.Read(int(n))
	if err != nil {
		return undecodable, 0
	}
	defer data.Free()
	if !ended(in, c.prefix[:]) {
		return undecodable, 0
	}
	return c.decode(data), 0
}

func (r *receiver) readLarge(ctx context.Context, c *call, in incoming, n int64) (result decoding, room int64) {
	if !r.reserve(ctx, n) {
		return noRoom, 0
	}
	// Only the end of the call can cancel a read.
	arrived := make(chan []byte, 1)
	go func() { arrived <- assemble(in, int(n)) }()
	late := time.NewTimer(arrivalTime)
	defer late.Stop()
	select {
	case data := <-arrived:
		if data == nil {
			return undecodable, n
		}
		return c.decode(mem.BufferSlice{mem.SliceBuffer(data)}), n
	case <-late.C:
		go func() {
			<-arrived // it returns when the call ends
			r.room.Release(n)
		}()
		return tooSlow, 0
	}
}

// reserve waits for room, and gives up in time for an answer.
func (r *receiver) reserve(ctx context.Context, n int64) bool {
	wait := roomWait
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return r.room.Acquire(ctx, n) == nil
}

// assemble reads a message of n bytes into one piece. It returns nil if the message is incomplete
// or another one follows.
func assemble(in incoming, n int) []byte {
	whole := make([]byte, 0, n)
	for len(whole) < n {
		piece, err := in.Read(min(n-len(whole), pieceSize))
		if err != nil {
			return nil
		}
		for _, b := range piece {
			whole = append(whole, b.ReadOnlyData()...)
		}
		piece.Free()
	}
	var prefix [prefixSize]byte
	if !ended(in, prefix[:]) {
		return nil
	}
	return whole
}

// ended waits until the peer has closed its side of the stream, and says whether it has: an earlier
// answer would reset the stream of the peer.
func ended(in incoming, prefix []byte) bool {
	return errors.Is(in.ReadMessageHeader(prefix), io.EOF)
}

var (
	errNoRoom  = errors.New("too many large check requests at once")
	errTooSlow = errors.New("a large check request took longer than " + arrivalTime.String() + " to arrive")
)

// decision returns the decision about a message that was not read for lack of room or time. For
// other results ok is false.
func (d decoding) decision(ctx context.Context) (of authz.Decision, ok bool) {
	switch d {
	case noRoom:
		return authz.Decision{Reason: authz.ReasonUnavailable, Err: errNoRoom}, true
	case tooSlow:
		return authz.Decision{Reason: authz.ReasonUnavailable, Err: errTooSlow}, true
	case canceled:
		return authz.Decision{Reason: authz.ReasonCanceled, Err: context.Cause(ctx)}, true
	default:
		return authz.Decision{}, false
	}
}
