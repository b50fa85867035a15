package state

import "encoding/binary"

// dictionary has what most documents contain. A document is too short to repeat much of
// itself, so it is compressed against this text. Only memory depends on it, no stored
// data, so it may be changed.
const dictionary = `{"consumer":{"id":""},"created_at":17,"group":"` + `{"created_at":17,"custom_id":"` +
	`","id":"` + `","tags":["` + `"],"updated_at":17` + `","updated_at":17,"username":"` + `"}`

// The compressed form is a sequence of runs. A literal is a byte n below 0x80 and the n+1
// bytes of text that follow it. A repeat is a byte, which is its length minus minRepeat
// plus 0x80, and a uvarint, the position where the repeated bytes begin in the window and
// the text decompressed so far.
const (
	maxLiteral = 128
	minRepeat  = 4
	maxRepeat  = minRepeat + 0x7f
	tableBits  = 10
)

// compress appends text to to, compressed against a window.
func compress(to, window, text []byte) []byte {
	// lastSeen has, for each hash of four bytes, the last position of such bytes plus one.
	var lastSeen [1 << tableBits]int32
	all, begin := append(window, text...), len(window)
	hash := func(i int) uint32 { return binary.LittleEndian.Uint32(all[i:]) * 2654435761 >> (32 - tableBits) }
	hashed := 0
	literal := begin
	flush := func(end int) {
		for literal < end {
			n := min(end-literal, maxLiteral)
			to = append(append(to, byte(n-1)), all[literal:literal+n]...) //nolint:gosec // it is at most maxLiteral
			literal += n
		}
	}
	for i := begin; i+minRepeat <= len(all); {
		for ; hashed < i; hashed++ {
			lastSeen[hash(hashed)] = int32(hashed + 1)
		}
		from := int(lastSeen[hash(i)]) - 1
		n := 0
		for from >= 0 && i+n < len(all) && n < maxRepeat && all[from+n] == all[i+n] {
			n++
		}
		if n < minRepeat {
			i++
			continue
		}
		flush(i)
		to = binary.AppendUvarint(append(to, byte(0x80+n-minRepeat)), uint64(from)) //nolint:gosec // it is a position
		i += n
		literal = i
	}
	flush(len(all))
	return to
}

// decompress returns the text that was compressed against the window. It writes to the
// window's spare capacity.
func decompress(window []byte, compressed string) []byte {
	begin := len(window)
	for i := 0; i < len(compressed); {
		b := compressed[i]
		i++
		if b < 0x80 {
			window = append(window, compressed[i:i+int(b)+1]...)
			i += int(b) + 1
			continue
		}
		var from int
		from, i = number(compressed, i)
		// Byte by byte: a repeat may overlap itself.
		for range int(b) - 0x80 + minRepeat {
			window = append(window, window[from])
			from++
		}
	}
	text := make([]byte, len(window)-begin)
	copy(text, window[begin:])
	return text
}
