package envoy

import "google.golang.org/protobuf/encoding/protowire"

// A writer writes a message from its end to its beginning: when the length of a
// part has to be written, it is known. So the fields of each message are written
// last first, and of each field the value, its length, its tag. [schema] says
// what a message is made of.
//
// The zero writer is ready. It is not safe for concurrent use.
type writer struct {
	// What is written is buf[at:].
	buf []byte
	at  int
}

// begin drops what is written and writes into buf from now on, as far as it
// reaches.
func (w *writer) begin(buf []byte) { w.buf, w.at = buf[:cap(buf)], cap(buf) }

// written is the message so far.
func (w *writer) written() []byte { return w.buf[w.at:] }

// mark is where a part ends that is about to be written.
func (w *writer) mark() int { return len(w.buf) - w.at }

// drop drops all that is written.
func (w *writer) drop() { w.at = len(w.buf) }

// room makes room for n more bytes, and returns where they go.
func (w *writer) room(n int) []byte {
	if w.at < n {
		bigger := make([]byte, 2*len(w.buf)+n)
		at := len(bigger) - w.mark()
		copy(bigger[at:], w.written())
		w.buf, w.at = bigger, at
	}
	w.at -= n
	return w.buf[w.at : w.at+n]
}

func (w *writer) raw(s string) { copy(w.room(len(s)), s) }

func (w *writer) varint(x uint64) {
	if x < 0x80 {
		w.room(1)[0] = byte(x)
		return
	}
	protowire.AppendVarint(w.room(protowire.SizeVarint(x))[:0], x)
}

// tag writes the tag of a field below 16, as all of ours are.
func (w *writer) tag(number int, t protowire.Type) { w.room(1)[0] = byte(number<<3) | byte(t) } //nolint:gosec // below 16

// number writes a field with a number that is not negative.
func (w *writer) number(field, value int) {
	w.varint(uint64(value)) //nolint:gosec // not negative
	w.tag(field, protowire.VarintType)
}

// text writes a field with a string, or with a message that is encoded already.
func (w *writer) text(field int, s string) {
	w.raw(s)
	w.varint(uint64(len(s)))
	w.tag(field, protowire.BytesType)
}

// enclose makes all that was written since mark the message in a field.
func (w *writer) enclose(field, mark int) {
	w.varint(uint64(w.mark() - mark)) //nolint:gosec // not negative: what is written only grows
	w.tag(field, protowire.BytesType)
}
