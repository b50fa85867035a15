package vaultkv

import (
	"sync"
	"time"
)

// Bounds on repeating a line about a record. A malformed record is read again
// whenever its token is presented, as often as a client likes.
const (
	noteInterval = time.Minute
	maxNotes     = 1024
)

// notes remembers what has been logged lately. The zero value is ready.
type notes struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due says whether a note has not been made within noteInterval. When there are
// too many different ones it starts over.
func (n *notes) due(note string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	if at, ok := n.last[note]; ok && now.Sub(at) < noteInterval {
		return false
	}
	if n.last == nil || len(n.last) >= maxNotes {
		n.last = map[string]time.Time{}
	}
	n.last[note] = now
	return true
}
