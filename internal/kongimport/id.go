package kongimport

import (
	"crypto/sha1" //nolint:gosec // what a UUID of version 5 is made with
	"fmt"
)

// namespace is the namespace of ids that are derived from names: the UUID of version 5 of
// "vault-authz" in the namespace of DNS names. It and the hashed text never change, so
// that a second run derives the same ids.
func namespace() []byte {
	return []byte{0xb8, 0x9a, 0x69, 0xf5, 0x1d, 0x68, 0x52, 0xc9, 0xad, 0x95, 0xbf, 0xb6, 0x61, 0x05, 0xc9, 0x38}
}

// idOf returns the id of an entity without an id in the file: the UUID of version 5 of
// field=value.
func idOf(field, value string) string {
	h := sha1.New() //nolint:gosec // as above
	h.Write(namespace())
	h.Write([]byte(field + "=" + value))
	id := h.Sum(nil)[:16]
	id[6] = id[6]&0x0f | 0x50
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
