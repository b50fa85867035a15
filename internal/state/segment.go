package state

import (
	"fmt"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
)

const (
	// segments is how many there are in the ring.
	segments = 64
	// tailBytes is the size at which a segment is sealed. A replica reads about as much
	// at each poll.
	tailBytes = 16 << 10
	// maxLine bounds a line. So a segment is never longer than tailBytes and maxLine
	// together: Consul refuses values above 512 KiB, after encryption.
	maxLine = 256 << 10
)

// A segment is one entry of the ring.
type segment struct {
	Format int `json:"format"`
	// Log is the random name of the log. Numbers of two logs cannot be compared.
	Log string `json:"log"`
	// Number counts the segments. It is stored at Number modulo segments.
	Number int `json:"segment"`
	// First is the position of the first line, or of the next line if there is no line
	// yet.
	First int `json:"first"`
	// Sealed says that nothing is appended any more.
	Sealed bool `json:"sealed,omitempty"`
	// Lines are all batches in one string: servers bound the number of strings in a
	// body.
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

func (s *segment) lines() []string {
	if s.Lines == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s.Lines, "\n"), "\n")
}
