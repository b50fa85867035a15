package record

import (
	"sync"
	"time"
)

// Bounds on repeated lines about a record. A malformed record is read again whenever a
// client presents its token.
const (
	logInterval = time.Minute
	maxLogged   = 1024
)

// logOnce remembers which lines have been logged lately. The zero value is ready to use.
// It is safe for concurrent use.
type logOnce struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// due reports whether line was not logged within logInterval, and records that it is
// logged now. When it remembers too many different lines, it forgets all of them.
func (l *logOnce) due(line string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if at, ok := l.last[line]; ok && now.Sub(at) < logInterval {
		return false
	}
	if l.last == nil || len(l.last) >= maxLogged {
		l.last = map[string]time.Time{}
	}
	l.last[line] = now
	return true
}
