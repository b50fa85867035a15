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

// Bounds on the memory for messages that are on their way in.
const (
	// streamWindow is what the peer may send of a call before anything of it is
	// read, in bytes. Each call may hold that much, so it is the least that HTTP/2
	// has; nearly all check requests fit in.
	streamWindow = 64 << 10
	// connectionWindow is what the peer may send on a connection before it hears
	// from us. It takes no memory: grpc-go hands on at once what comes in. A large
	// one saves answers.
	connectionWindow = 16 << 20
	// largeMessages is for how many messages of the largest size there is room.
	largeMessages = 2
	// pieceSize is how much of a large message is read at once, in bytes.
	pieceSize = 256 << 10
	// roomWait and arrivalTime bound how long a large message waits for room, and
	// then takes to arrive: what holds room that others wait for must not be slow.
	roomWait    = time.Second
	arrivalTime = 5 * time.Second
)

// prefixSize is the size of what precedes a message in gRPC: a byte that says
// whether it is compressed, and its length.
const prefixSize = 5

// incoming is a message on its way in. grpc-go's transport has it beside
// [grpc.ServerTransportStream]. The way to it through a codec is too late: a
// message that is too large has been read by then, or has failed the call.
type incoming interface {
	ReadMessageHeader(prefix []byte) error
	Read(n int) (mem.BufferSlice, error)
}

// A receiver takes in check requests. It never fails a call for what the message
// is: a failed call would leave the decision to the gateway's failure_mode_allow,
// and the client would have a hand in it. It is safe for concurrent use.
//
// What fits in streamWindow is read at once. Larger messages share room for
// largeMessages of maxBytes, however many calls and connections they come on, so
// that they can take up neither the memory nor the small ones.
type receiver struct {
	maxBytes int64
	room     *semaphore.Weighted
	// refused is indexed by what was wrong.
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

// receive reads the message of a call into c. The room that the message takes is
// to be given back once the call is over.
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
	// Reading cannot be given up, except by ending the call.
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
			<-arrived // as soon as the call is over
			r.room.Release(n)
		}()
		return tooSlow, 0
	}
}

// reserve waits for room, but not until it is too late to answer.
func (r *receiver) reserve(ctx context.Context, n int64) bool {
	wait := roomWait
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return r.room.Acquire(ctx, n) == nil
}

// assemble reads a message of n bytes into one piece. It returns nil unless the
// message is whole and the only one.
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

// ended says whether the peer has sent all that it is going to send. It waits for
// that: a call that is answered before costs the peer a reset.
func ended(in incoming, prefix []byte) bool {
	return errors.Is(in.ReadMessageHeader(prefix), io.EOF)
}

var (
	errNoRoom  = errors.New("too many large check requests at once")
	errTooSlow = errors.New("a large check request took longer than " + arrivalTime.String() + " to arrive")
)

// decision is the one about a message that was not read for no fault of its own.
// Of any other, ok is false.
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
