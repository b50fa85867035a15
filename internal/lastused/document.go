package lastused

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

const (
	folder = "used"
	format = 1
	// maxEntries is how many credentials a document has, which takes about 150 KiB then.
	maxEntries = 16_384
	// maxLevel is the last level: 256 documents, for four million credentials.
	maxLevel = 8
	// maxAge is how long the last use of a credential is kept, in minutes: 400 days.
	maxAge = 400 * 24 * 60
)

// A part is a document of one level: the credentials whose keys begin with its number.
type part struct{ level, number int }

func partOf(k key, level int) part { return part{level, int(k >> (keyBits - level))} } //nolint:gosec // 48 bits

func (p part) name() string { return fmt.Sprintf("%d-%03d", p.level, p.number) }

func (p part) path() string { return folder + "/" + p.name() }

// parsePart is not ok for what is no part, such as a part of a later version.
func parsePart(name string) (p part, ok bool) {
	if n, err := fmt.Sscanf(name, "%d-%d", &p.level, &p.number); n != 2 || err != nil {
		return part{}, false
	}
	return p, p.name() == name && p.level >= 0 && p.level <= maxLevel && p.number >= 0 && p.number < 1<<p.level
}

// A document is what one part keeps.
type document struct {
	// began is when the first use could be recorded, and forgotten the latest of those that
	// were dropped since, 0 for none.
	began, forgotten minute
	last             map[key]minute
}

// stored is a document as it is stored. Servers bound the number of values in a body, so that
// entries are one.
type stored struct {
	Format    int    `json:"format"`
	Began     minute `json:"began"`
	Forgotten minute `json:"forgotten,omitempty"`
	// Latest is the latest time in Entries: for each key, in order, the difference to the one
	// before, and by how much its time is before Latest, as uvarints in base64.
	Latest  minute `json:"latest"`
	Entries string `json:"entries"`
}

func (d *document) encode() ([]byte, error) {
	s := stored{Format: format, Began: d.began, Forgotten: d.forgotten}
	for _, at := range d.last {
		s.Latest = max(s.Latest, at)
	}
	raw := make([]byte, 0, 8*len(d.last))
	before := key(0)
	for _, k := range slices.Sorted(maps.Keys(d.last)) {
		raw = binary.AppendUvarint(raw, uint64(k-before))
		raw = binary.AppendUvarint(raw, uint64(s.Latest-d.last[k]))
		before = k
	}
	s.Entries = base64.StdEncoding.EncodeToString(raw)
	return json.Marshal(s)
}

var errDocument = errors.New("an entry with the last uses of credentials cannot be understood; was it written by hand, or by a later version?")

func decode(raw []byte) (*document, error) {
	var s stored
	if err := json.Unmarshal(raw, &s); err != nil || s.Format != format {
		return nil, errDocument
	}
	entries, err := base64.StdEncoding.DecodeString(s.Entries)
	if err != nil {
		return nil, errDocument
	}
	d := &document{began: s.Began, forgotten: s.Forgotten, last: make(map[key]minute, len(entries)/6)}
	at := key(0)
	for len(entries) > 0 {
		step, n := binary.Uvarint(entries)
		age, m := binary.Uvarint(entries[max(0, n):])
		if n <= 0 || m <= 0 || step >= 1<<keyBits || age > uint64(s.Latest) {
			return nil, errDocument
		}
		if at += key(step); at >= 1<<keyBits {
			return nil, errDocument
		}
		d.last[at] = s.Latest - minute(age) //nolint:gosec // at most Latest
		entries = entries[n+m:]
	}
	return d, nil
}

// add takes over a use, and says whether it is news.
func (d *document) add(k key, at minute) bool {
	if d.last[k] >= at {
		return false
	}
	d.last[k] = at
	return true
}

// forget drops what is too old, and the oldest of what is too much.
func (d *document) forget(now minute, limit int) {
	drop := func(k key) {
		d.forgotten = max(d.forgotten, d.last[k])
		delete(d.last, k)
	}
	for k, at := range d.last {
		if now > maxAge && at < now-maxAge {
			drop(k)
		}
	}
	if len(d.last) <= limit {
		return
	}
	oldest := slices.SortedFunc(maps.Keys(d.last), func(a, b key) int { return int(d.last[a]) - int(d.last[b]) })
	for _, k := range oldest[:len(oldest)-limit] {
		drop(k)
	}
}

// end is the first key behind the part, 0 behind the last one.
func (p part) end() key {
	return key(p.number+1) << (keyBits - p.level) & (1<<keyBits - 1) //nolint:gosec // a number is not negative
}
