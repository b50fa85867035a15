package vaultkv

import (
	"context"
	"time"
)

// A TestGate is the gate alone, to stop it as a process is stopped: a bubble of
// synctest cannot stop one goroutine while time goes on.
type TestGate struct{ g *gate }

// NewTestGate returns a gate that is shut.
func NewTestGate(limit time.Duration) TestGate { return TestGate{newGate(limit)} }

// Now is when a reading begins.
func (g TestGate) Now() int64 { return g.g.now() }

// Alive is a sign of life.
func (g TestGate) Alive() { g.g.alive() }

// Polled is the end of a reading.
func (g TestGate) Polled(began int64, ok bool) bool { return g.g.polled(began, ok) }

// Pass waits.
func (g TestGate) Pass(ctx context.Context) error { return g.g.pass(ctx) }

// DecodeLog says whether the entry is a log, and what follows a number in it.
func DecodeLog(raw []byte, epoch string, last int) (changes int, ok bool, err error) {
	l, err := decodeLog(raw)
	if err != nil {
		return 0, false, err
	}
	l.add(nil, time.Now())
	fresh, ok := l.after(epoch, last)
	l.compact(10, time.Unix(0, 0))
	return len(fresh), ok, nil
}

// DecodeClaim returns whom the claim of key names.
func DecodeClaim(raw []byte, key string) (id string, err error) {
	c, err := decodeClaim(raw, key)
	return c.ID, err
}

// DecodeEntry says whether the entry is a record.
func DecodeEntry(raw []byte) (document []byte, err error) {
	e, err := decodeEntry(raw)
	return e.Document, err
}
