package authz

import "sync/atomic"

// A Memo keeps the encoded form of a list or a consumer that many decisions share. Both are
// made together and never change, so all decisions with one Memo have the same list or
// consumer beside it. The zero Memo is empty. It is safe for concurrent use.
type Memo struct{ encoded atomic.Pointer[[]byte] }

// Bytes returns what encode returned the first time. All callers must encode in the same
// way, and must not change the bytes. A nil of encode is not kept. A nil Memo calls encode
// each time.
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
