package envoy

import "encoding/binary"

// The tags of the fields of a map entry, and of a header in a list.
const (
	tagName  = headerKey<<3 | 2
	tagValue = headerValue<<3 | 2
	tagRaw   = headerRawValue<<3 | 2
)

// fastPath decodes an entry in the form that Envoy nearly always writes: a name and then a value
// or a raw value, each once and shorter than 128 bytes, the name in lower case ASCII, a value in
// ASCII. It does not accept other entries, which [schema.walk] decodes. That has the same result
// for all entries, at twice the cost.
func fastPath(of part, b string) (name, value string, plain bool) {
	if len(b) < 2 || b[0] != tagName {
		return "", "", false
	}
	n := int(b[1])
	if n >= 0x80 || len(b) < n+4 {
		return "", "", false
	}
	name, b = b[2:n+2], b[n+2:]
	if n = int(b[1]); n >= 0x80 || len(b) != n+2 {
		return "", "", false
	}
	value = b[2:]
	switch b[0] {
	case tagValue:
		plain = isASCII(value)
	case tagRaw:
		// In other messages it is an unknown field.
		plain = of == partRawHeader
	}
	return name, value, plain && isLowerCase(name)
}

// Letters are looked at eight at a time.
const (
	ones = 0x0101010101010101
	high = 0x80 * ones
)

// isLowerCase says whether a name is ASCII without capitals.
func isLowerCase(name string) bool {
	rest := bytesOf(name)
	for len(rest) >= 8 {
		if capitals(binary.LittleEndian.Uint64(rest)) {
			return false
		}
		rest = rest[8:]
	}
	return !capitals(last(rest))
}

// capitals says whether one of eight bytes is a capital or not ASCII.
func capitals(x uint64) bool {
	// For bytes below 0x80, the high bits of the sums are set from 'A' on, and from 'Z'+1
	// on.
	return (x|(x+(0x80-'A')*ones)&^(x+(0x80-'Z'-1)*ones))&high != 0
}

func isASCII(s string) bool {
	rest := bytesOf(s)
	for len(rest) >= 8 {
		if binary.LittleEndian.Uint64(rest)&high != 0 {
			return false
		}
		rest = rest[8:]
	}
	return last(rest)&high == 0
}

// last returns up to seven bytes, filled with zeros.
func last(b []byte) (x uint64) {
	switch {
	case len(b) >= 4:
		// The two halves overlap if there are fewer than eight.
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))<<32
	case len(b) > 0:
		return uint64(b[0]) | uint64(b[len(b)/2])<<8 | uint64(b[len(b)-1])<<16
	}
	return 0
}
