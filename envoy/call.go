package envoy

import (
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/vault-authz/vault-authz/authz"
)

// A call is a check in progress: the memory for the message, the request and the decision. It is
// reused, so that a check allocates almost nothing. Between two uses it has no reference to a
// request. Outside of this package only interceptors see it, as the request.
type call struct {
	// prefix is the length prefix of the message.
	prefix [prefixSize]byte
	// result is the result of decoding the message.
	result decoding
	// message is the request in wire form. decoder and request refer to it. It is freed
	// after the answer is written, because the answer quotes it.
	message  mem.Buffer
	decoder  decoder
	request  authz.Request
	decision authz.Decision
	answer   writer
	home     *calls
}

// String hides a request from the traces of grpc-go.
func (*call) String() string { return "check request" }

// calls is a pool of calls. It is safe for concurrent use.
type calls struct {
	of      *schema
	idle    sync.Pool
	buffers answerBuffers
}

// get returns a call that holds nothing: those that are kept have forgotten the last request.
func (p *calls) get() *call {
	if c, ok := p.idle.Get().(*call); ok {
		return c
	}
	return &call{home: p}
}

// decode decodes the message into a call that has none. After a failure the request is the
// zero Request, which is denied. decode recovers from panics.
func (c *call) decode(data mem.BufferSlice) (result decoding) {
	defer func() {
		if recover() != nil {
			result = undecodable
		}
		if result != decoded {
			c.forget()
		}
	}()
	c.message = whole(data)
	if !c.home.of.walk(text(c.message.ReadOnlyData()), maxDepth, &c.decoder) {
		return undecodable
	}
	if c.decoder.tooManyHeaders {
		return tooManyFields
	}
	c.decoder.request(&c.request)
	return decoded
}

// A decoding is the result of decoding a message. The zero decoding is a failure.
type decoding uint8

const (
	undecodable decoding = iota
	tooManyFields
	tooLarge
	noRoom
	tooSlow
	// canceled means that the gateway no longer waits for the answer.
	canceled
	decoded
)

// whole returns a message in one piece, without a copy if it is in a single buffer. A copy has
// the exact size: a call may wait for a long time, and the buffers of grpc-go's pool have sizes
// as far apart as 32 KiB and 1 MiB.
func whole(data mem.BufferSlice) mem.Buffer {
	if len(data) == 1 {
		data[0].Ref()
		return data[0]
	}
	return mem.SliceBuffer(data.Materialize())
}

// forget drops the references to the request and the decision.
func (c *call) forget() {
	c.decoder.reset()
	c.result = undecodable
	c.request = authz.Request{}
	c.decision = authz.Decision{}
	if c.message != nil {
		c.message.Free()
		c.message = nil
	}
}

// maxKept is the maximum number of elements of a slice that a call keeps for its next use: a large
// request must not occupy memory forever.
const maxKept = 256

// emptied returns a slice for reuse, without references.
func emptied[T any](s []T) []T {
	if cap(s) > maxKept {
		return nil
	}
	clear(s)
	return s[:0]
}

// A reply is an answer in wire form, which the codec takes once.
type reply struct {
	data  [1]mem.Buffer
	taken bool
}

// String hides an answer from the traces of grpc-go.
func (*reply) String() string { return "check response" }

// take returns the answer.
func (r *reply) take() mem.BufferSlice {
	if r.taken || r.data[0] == nil {
		return lastResort()
	}
	r.taken = true
	return r.data[:]
}

// lastResort denies if there is no answer: an empty message has the status 0, which allows.
func lastResort() mem.BufferSlice {
	var w writer
	w.bareDenial()
	return mem.BufferSlice{mem.SliceBuffer(w.written())}
}

// begin gives the writer a buffer.
func (c *call) begin() (buffer *[]byte) {
	buffer = c.home.buffers.Get(answerSize)
	c.answer.begin(*buffer)
	return buffer
}

// end returns the answer and ends the call, which must not be used afterwards.
func (c *call) end(buffer *[]byte) *reply {
	if c.answer.mark() == 0 {
		c.answer.bareDenial()
	}
	answer := c.answer.written()
	if len(answer) > cap(*buffer) {
		c.home.buffers.Put(buffer)
		own := answer // only this case allocates it
		buffer = &own
	} else {
		*buffer = append((*buffer)[:0], answer...)
	}
	c.answer = writer{}
	c.forget()
	pool := &c.home.buffers
	c.home.idle.Put(c)
	return &reply{data: [1]mem.Buffer{mem.NewBuffer(buffer, pool)}}
}

// answerSize is enough for most answers, with about 40 headers to set and remove. It is above the
// size (1 KiB) below which grpc-go does not return buffers to a pool.
const answerSize = 4 << 10

// answerBuffers is a [mem.BufferPool] for buffers of answerSize.
type answerBuffers struct{ pool sync.Pool }

// Get implements [mem.BufferPool].
func (p *answerBuffers) Get(length int) *[]byte {
	b, ok := p.pool.Get().(*[]byte)
	if !ok || cap(*b) < length {
		fresh := make([]byte, length)
		return &fresh
	}
	*b = (*b)[:length]
	return b
}

// Put implements [mem.BufferPool].
func (p *answerBuffers) Put(b *[]byte) {
	if cap(*b) == answerSize {
		p.pool.Put(b)
	}
}
