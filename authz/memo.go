package authz

import "sync/atomic"

// A Memo keeps what an encoder made of a list or a consumer that many decisions
// share, for as long as that itself lives. Where a decision has a Memo beside one,
// every decision with that same Memo has that same one: both are made together,
// once, and never change. The zero Memo is empty. It is safe for concurrent use.
type Memo struct{ encoded atomic.Pointer[[]byte] }

// Bytes returns what encode returned the first time. Whoever asks the same Memo
// must encode in the same way, so that it does not matter who came first, and
// must not change the bytes. An encode that returns nil could not; that is not
// kept. With a nil Memo, which stands for a list of one decision, encode is
// called each time.
func (m *Memo) Bytes(encode func() []byte) []byte {
	if m == nil {
		return encode()
	}
	if kept := m.encoded.Load(); kept != nil {
		return *kept
	}
	made := encode()
	if made != nil {
		m.encoded.Store(&made)
	}
	return made
}
