package vaultkv

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync"
)

// A body is the body of an answer that was read to its end.
type body struct {
	bytes.Reader
	all []byte
}

// Close implements [io.Closer].
func (*body) Close() error { return nil }

// wholeBody returns the body of an answer, without a copy if it has been read already.
func wholeBody(resp *http.Response) ([]byte, error) {
	if b, ok := resp.Body.(*body); ok {
		return b.all, nil
	}
	return io.ReadAll(resp.Body)
}

// readWhole reads the body of an answer into memory. It fails at the first byte beyond
// the bound, so that a part never passes for the whole.
func readWhole(resp *http.Response, bound int64, into *buffer) error {
	defer func() { _ = resp.Body.Close() }()
	if resp.ContentLength > bound {
		return errTooLarge
	}
	if into == nil || into.used {
		into = new(buffer)
	}
	all, err := into.read(resp.Body, resp.ContentLength, bound)
	if err != nil {
		return err
	}
	b := &body{all: all}
	b.Reset(all)
	resp.Body = b
	return nil
}

// A buffer is memory for the body of one answer. The zero buffer is ready to use.
type buffer struct {
	memory []byte
	used   bool
}

// leastRead is how much memory is free, at least, for each part of a body.
const leastRead = 512

// read reads a body of the given size, which is negative if it is not known, to its end.
func (b *buffer) read(r io.Reader, size, bound int64) ([]byte, error) {
	b.used = true
	// One byte more than the body, to see its end without growing.
	b.grow(int(min(max(size+1, leastRead), bound+1)))
	for {
		n, err := r.Read(b.memory[len(b.memory):cap(b.memory)])
		b.memory = b.memory[:len(b.memory)+n]
		switch {
		case int64(len(b.memory)) > bound:
			return nil, errTooLarge
		case errors.Is(err, io.EOF):
			return b.memory, nil
		case err != nil:
			return nil, err
		}
		if len(b.memory) == cap(b.memory) {
			b.grow(max(leastRead, len(b.memory)))
		}
	}
}

// grow makes room for so many bytes more. It leaves no copy of the others.
func (b *buffer) grow(more int) {
	if cap(b.memory)-len(b.memory) >= more {
		return
	}
	before := b.memory
	b.memory = append(make([]byte, 0, len(before)+more), before...)
	clear(before)
}

// maxKept is the size of the largest buffer that is used again. A record is far smaller.
const maxKept = 16 << 10

// buffers are buffers to use again. They are cleared when they come back, because they
// held secrets. It is safe for concurrent use.
type buffers struct{ pool sync.Pool }

func (bs *buffers) get() *buffer {
	if b, ok := bs.pool.Get().(*buffer); ok {
		return b
	}
	return new(buffer)
}

// put takes a buffer back. Nothing may use what was read into it any more.
func (bs *buffers) put(b *buffer) {
	clear(b.memory)
	b.memory, b.used = b.memory[:0], false
	if cap(b.memory) <= maxKept {
		bs.pool.Put(b)
	}
}
