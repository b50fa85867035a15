package envoy

import (
	"sync"

	"google.golang.org/grpc/mem"

	"github.com/vault-authz/vault-authz/authz"
)

// A call is one check on its way through: what grpc-go hands to the codec to
// decode into, and later to encode. It is used again, so that a check allocates
// next to nothing; between two uses it points to nothing of a request.
type call struct {
	// message holds the request in wire form, which reading and request point
	// into. It is freed when the answer is written, for that quotes it.
	message  mem.Buffer
	reading  reading
	request  authz.Request
	decision authz.Decision
	answer   writer
	// buffer is where the answer is written, if it fits.
	buffer *[]byte
	home   *calls
}

// calls makes calls, and keeps those that are not in use. It is safe for
// concurrent use.
type calls struct {
	of      *shape
	idle    sync.Pool
	buffers answerBuffers
}

func (p *calls) get() *call {
	c, ok := p.idle.Get().(*call)
	if !ok {
		c = &call{home: p}
	}
	c.buffer = p.buffers.Get(answerSize)
	c.answer.begin(*c.buffer)
	return c
}

// decode reads a message, which is not copied. It is not ok exactly if the
// generated decoder would refuse the message; the request is then the zero one,
// which is denied.
func (c *call) decode(data mem.BufferSlice) (ok bool) {
	c.message = data.MaterializeToBuffer(mem.DefaultBufferPool())
	ok = c.home.of.walk(c.message.ReadOnlyData(), maxDepth, &c.reading)
	if ok {
		c.reading.request(&c.request)
	}
	return ok
}

// forget lets go of the request and of the decision about it.
func (c *call) forget() {
	c.reading.reset()
	c.request = authz.Request{Headers: emptied(c.request.Headers)}
	c.decision = authz.Decision{}
	if c.message != nil {
		c.message.Free()
		c.message = nil
	}
}

// encoded gives away the answer and ends the call, which must not be used again.
func (c *call) encoded() mem.BufferSlice {
	if c.answer.mark() == 0 {
		// An empty message has the status 0, and that allows.
		c.answer.bareDenial()
	}
	answer := c.answer.written()
	data := c.buffer
	if len(answer) > cap(*data) {
		data = &answer
	} else {
		*data = append((*data)[:0], answer...)
	}
	c.buffer, c.answer = nil, writer{}
	pool := &c.home.buffers
	c.home.idle.Put(c)
	return mem.BufferSlice{mem.NewBuffer(data, pool)}
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
