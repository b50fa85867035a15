package envoy

import "google.golang.org/protobuf/encoding/protowire"

// A writer writes a message from its end to its beginning, so that the length of a part is known
// when it is written. The fields of a message are written last to first, and of each field first
// the value, then the length, then the tag. [schema] describes the format.
//
// The zero writer is ready. It is not safe for concurrent use.
type writer struct {
	// The message so far is buf[at:].
	buf []byte
	at  int
}

// begin discards the message and uses buf, as long as it is large enough.
func (w *writer) begin(buf []byte) { w.buf, w.at = buf[:cap(buf)], cap(buf) }

// written returns the message so far.
func (w *writer) written() []byte { return w.buf[w.at:] }

// mark returns the end of the part that is written next.
func (w *writer) mark() int { return len(w.buf) - w.at }

// drop discards the message.
func (w *writer) drop() { w.at = len(w.buf) }

// room makes room for n more bytes and returns them.
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

// raw writes strings, the last one first, so that they stand as they are given.
func (w *writer) raw(parts ...string) {
	for i := len(parts) - 1; i >= 0; i-- {
		copy(w.room(len(parts[i])), parts[i])
	}
}

func (w *writer) varint(x uint64) {
	if x < 0x80 {
		w.room(1)[0] = byte(x)
		return
	}
	protowire.AppendVarint(w.room(protowire.SizeVarint(x))[:0], x)
}

// tag writes the tag of a field with a number below 16, which all fields here have.
func (w *writer) tag(number int, t protowire.Type) { w.room(1)[0] = byte(number<<3) | byte(t) } //nolint:gosec // below 16

// number writes a field with a non-negative number.
func (w *writer) number(field, value int) {
	w.varint(uint64(value)) //nolint:gosec // not negative
	w.tag(field, protowire.VarintType)
}

// text writes a field with a string or an encoded message.
func (w *writer) text(field int, s string) {
	copy(w.room(len(s)), s)
	w.varint(uint64(len(s)))
	w.tag(field, protowire.BytesType)
}

// enclose makes everything since mark a field with a message.
func (w *writer) enclose(field, mark int) {
	w.varint(uint64(w.mark() - mark)) //nolint:gosec // not negative: what is written only grows
	w.tag(field, protowire.BytesType)
}
