package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

// format is that of everything in the store. 1 was a record and a reservation in
// entries of their own, without this number.
const format = 2

const (
	// segments is how many there are in the ring.
	segments = 64
	// tailBytes is up to where a segment takes more changes, and about what a
	// replica reads at each poll.
	tailBytes = 16 << 10
	// maxLine is the longest line, so that no segment grows beyond tailBytes and
	// this: Consul refuses values above 512 KiB, after encryption.
	maxLine = 256 << 10
)

// A segment is one entry of the ring.
type segment struct {
	Format int `json:"format"`
	// Log is a random name: another one is another log, whatever its numbers.
	Log string `json:"log"`
	// Number counts the segments. It is stored at Number modulo segments.
	Number int `json:"segment"`
	// First is the position of the first line, or of the next one where there is
	// none.
	First int `json:"first"`
	// Sealed: nothing is appended any more.
	Sealed bool `json:"sealed,omitempty"`
	// Lines are batches. One string, however many there are: servers bound the
	// number of strings in a body.
	Lines string `json:"lines"`
}

func segmentPath(number int) string { return fmt.Sprintf("log/%02d", number%segments) }

func decodeSegment(raw []byte) (segment, error) {
	var s segment
	if err := decode(raw, &s); err != nil {
		return segment{}, err
	}
	if s.Log == "" || s.Number < 0 || s.First < 1 {
		return segment{}, fmt.Errorf("%w: not a segment of the log", authz.ErrMalformed)
	}
	return s, nil
}

// decode reads an entry of the store after its format.
func decode(raw []byte, into any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return fmt.Errorf("%w: an entry of the state store is not JSON", authz.ErrMalformed)
	}
	if head.Format > format {
		return fmt.Errorf("%w: an entry has format %d, and this version understands %d; run the version that wrote it, or a later one", errNewer, head.Format, format)
	}
	if err := json.Unmarshal(raw, into); err != nil || head.Format != format {
		return fmt.Errorf("%w: an entry of the state store cannot be understood", authz.ErrMalformed)
	}
	return nil
}

// errNewer: a later version of this program has written to the store.
var errNewer = errors.New("the state store was written by a newer version")

func (s *segment) lines() []string {
	if s.Lines == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s.Lines, "\n"), "\n")
}
