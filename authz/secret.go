package authz

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"sync"
)

const redacted = "[redacted]"

// A Secret is a keyed digest of a secret token. It never prints as anything but
// "[redacted]". The zero Secret equals nothing, not even itself.
type Secret struct {
	digest [sha256.Size]byte
	set    bool
}

// Equal compares in constant time: the duration depends on neither value.
func (s Secret) Equal(other Secret) bool {
	same := subtle.ConstantTimeCompare(s.digest[:], other.digest[:])
	return same == 1 && s.set && other.set
}

// IsZero says whether there is no secret.
func (s Secret) IsZero() bool { return !s.set }

// String implements [fmt.Stringer] and hides the digest.
func (Secret) String() string { return redacted }

// GoString hides the digest from %#v.
func (Secret) GoString() string { return redacted }

// Format hides the digest from every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText hides the digest from encoders, JSON among them.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// A Digester turns secret tokens into [Secret] values: HMAC-SHA-256 under a
// random key that lives as long as the process and never leaves it. So digests
// of one process are of no use elsewhere. Secrets of two
// Digesters never compare equal. Safe for concurrent use.
type Digester struct {
	pool sync.Pool
	// dummy stands in for the secret of an unknown access token.
	dummy Secret
}

// NewDigester returns a Digester with a new random key.
func NewDigester() *Digester {
	key := make([]byte, sha256.Size)
	var dummy Secret
	// crypto/rand.Read never fails: it ends the process if the system has no
	// randomness.
	_, _ = rand.Read(key)
	_, _ = rand.Read(dummy.digest[:])
	return &Digester{
		pool:  sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, key)} }},
		dummy: dummy,
	}
}

// mac is a hash with the scratch space that keeps Digest free of allocations.
type mac struct {
	hash    hash.Hash
	scratch []byte
	sum     [sha256.Size]byte
}

// Digest returns the Secret for a secret token. The vault object and the access
// token are part of what is hashed: the same secret under another access token,
// or in another vault object, is another Secret. The zero Secret is returned
// for an empty secret token.
//
// Of the secret token itself only the SHA-256 is part of it, so that a store may
// keep no more than that: see [Digester.DigestHash]. Both are compared in the same
// way and in the same time.
func (d *Digester) Digest(vault, accessToken, secretToken string) Secret {
	if secretToken == "" {
		return Secret{}
	}
	m := d.mac()
	defer d.pool.Put(m)
	m.scratch = append(m.scratch[:0], secretToken...)
	hash := sha256.Sum256(m.scratch)
	clear(m.scratch)
	return m.digest(vault, accessToken, hash[:])
}

// DigestHash returns the Secret for the SHA-256 of a secret token: the same as Digest
// for the secret token.
func (d *Digester) DigestHash(vault, accessToken string, hash [sha256.Size]byte) Secret {
	m := d.mac()
	defer d.pool.Put(m)
	return m.digest(vault, accessToken, hash[:])
}

func (d *Digester) mac() *mac {
	return d.pool.Get().(*mac) //nolint:forcetypeassert // the pool's New makes nothing else
}

func (m *mac) digest(vault, accessToken string, hash []byte) Secret {
	m.hash.Reset()
	m.scratch = m.scratch[:0]
	for _, part := range [...]string{vault, accessToken} {
		m.scratch = binary.BigEndian.AppendUint64(m.scratch, uint64(len(part)))
		m.scratch = append(m.scratch, part...)
	}
	m.scratch = append(m.scratch, hash...)
	m.hash.Write(m.scratch)
	clear(m.scratch)
	// Into m and not into the result, which would have to be allocated to be
	// handed to an interface.
	m.hash.Sum(m.sum[:0])
	return Secret{digest: m.sum, set: true}
}
