package state

import "encoding/binary"

// usual is what documents usually have in them, for the first one of a kind to be
// compressed against: a document is too short to have much in it twice. It is in no
// stored data, so it may be changed.
const usual = `{"consumer":{"id":""},"created_at":17,"group":"` + `{"created_at":17,"custom_id":"` +
	`","id":"` + `","tags":["` + `"],"updated_at":17` + `","updated_at":17,"username":"` + `"}`

// The compressed form is a sequence of runs. One that begins with a byte below 0x80 has
// that many bytes and one more, which follow. Any other one repeats what was before: its
// first byte is the length, with 0x80 added and minRepeat taken off, and a uvarint is
// the position in the window with all that was decompressed so far.
const (
	maxLiteral = 128
	minRepeat  = 4
	maxRepeat  = minRepeat + 0x7f
	tableBits  = 10
)

// compress appends text, compressed against a window, to to.
func compress(to, window, text []byte) []byte {
	// at is the last position, plus one, of four bytes with the same hash.
	var at [1 << tableBits]int32
	all, begin := append(window, text...), len(window)
	hash := func(i int) uint32 { return binary.LittleEndian.Uint32(all[i:]) * 2654435761 >> (32 - tableBits) }
	learned := 0
	literal := begin
	flush := func(end int) {
		for literal < end {
			n := min(end-literal, maxLiteral)
			to = append(append(to, byte(n-1)), all[literal:literal+n]...) //nolint:gosec // it is at most maxLiteral
			literal += n
		}
	}
	for i := begin; i+minRepeat <= len(all); {
		for ; learned < i; learned++ {
			at[hash(learned)] = int32(learned + 1)
		}
		from := int(at[hash(i)]) - 1
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

// decompress returns the text that was compressed against the window, which it takes.
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
		// One by one: it may repeat what it has just repeated.
		for range int(b) - 0x80 + minRepeat {
			window = append(window, window[from])
			from++
		}
	}
	text := make([]byte, len(window)-begin)
	copy(text, window[begin:])
	return text
}
