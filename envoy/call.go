package envoy

import (
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/vault-authz/vault-authz/authz"
)

// A call is one check on its way through: what the message is read into, and what
// the decision is made with. It is used again, so that a check allocates next to
// nothing; between two uses it points to nothing of a request. It never leaves this
// package but as what an interceptor sees of a request.
type call struct {
	// prefix is what the message begins with.
	prefix [prefixSize]byte
	// result says how reading the message went.
	result decoding
	// message holds the request in wire form, which decoder and request point
	// into. It is freed when the answer is written, for that quotes it.
	message  mem.Buffer
	decoder  decoder
	request  authz.Request
	decision authz.Decision
	answer   writer
	home     *calls
}

// String keeps a request out of grpc-go's traces.
func (*call) String() string { return "check request" }

// calls makes calls, and keeps those that are not in use. It is safe for
// concurrent use.
type calls struct {
	of      *schema
	idle    sync.Pool
	buffers answerBuffers
}

func (p *calls) get() *call {
	if c, ok := p.idle.Get().(*call); ok {
		return c
	}
	return &call{home: p}
}

// decode reads a message. After anything but a success the request is the zero
// one, which is denied. It does not panic, whatever the message does to it.
func (c *call) decode(data mem.BufferSlice) (result decoding) {
	c.forget()
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

// A decoding is how reading a message went. The zero decoding is a failure.
type decoding uint8

const (
	undecodable decoding = iota
	tooManyFields
	tooLarge
	noRoom
	tooSlow
	// canceled: nobody waits for the answer any more.
	canceled
	decoded
)

// whole returns a message in one piece: as it came, if it came in one buffer. A
// copy has the size that it needs: a call may wait for long, and the buffers of
// grpc-go's own pool come in sizes as far apart as 32 KiB and 1 MiB.
func whole(data mem.BufferSlice) mem.Buffer {
	if len(data) == 1 {
		data[0].Ref()
		return data[0]
	}
	return mem.SliceBuffer(data.Materialize())
}

// forget lets go of the request and of the decision about it.
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

// maxKept bounds the slices that a call keeps for its next use, in elements: one
// large request must not take up memory for good.
const maxKept = 256

// emptied is a slice to use again. It lets go of what the elements point to.
func emptied[T any](s []T) []T {
	if cap(s) > maxKept {
		return nil
	}
	clear(s)
	return s[:0]
}

// A reply is an answer in wire form, for the codec to hand over once.
type reply struct {
	data  [1]mem.Buffer
	taken bool
}

// String keeps an answer out of grpc-go's traces.
func (*reply) String() string { return "check response" }

// take returns the answer.
func (r *reply) take() mem.BufferSlice {
	if r.taken || r.data[0] == nil {
		return lastResort()
	}
	r.taken = true
	return r.data[:]
}

// lastResort denies where there is no answer: an empty message has the status 0,
// and that allows.
func lastResort() mem.BufferSlice {
	var w writer
	w.bareDenial()
	return mem.BufferSlice{mem.SliceBuffer(w.written())}
}

// begin gives the writer of the answer its buffer.
func (c *call) begin() (buffer *[]byte) {
	buffer = c.home.buffers.Get(answerSize)
	c.answer.begin(*buffer)
	return buffer
}

// end ends the call, which must not be used again, and returns its answer.
func (c *call) end(buffer *[]byte) *reply {
	if c.answer.mark() == 0 {
		c.answer.bareDenial()
	}
	answer := c.answer.written()
	if len(answer) > cap(*buffer) {
		c.home.buffers.Put(buffer)
		own := answer // so that only this case allocates it
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

// answerSize is what an answer usually fits in: some 40 headers to set and
// remove. It is above what grpc-go finds too small to give back (1 KiB).
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
