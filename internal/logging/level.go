package logging

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Level is the level of a log: the configured one, or another one for a while. It is safe
// for concurrent use.
type Level struct {
	// current is the level in force.
	current zap.AtomicLevel

	mu         sync.Mutex
	configured zapcore.Level
	// until is when the level becomes the configured one, and back does that. They are zero
	// if it is.
	until time.Time
	back  *time.Timer
	// spans counts the calls of SetFor.
	spans int
}

// NewLevel returns a Level that is configured to be configured.
func NewLevel(configured zapcore.Level) *Level {
	return &Level{current: zap.NewAtomicLevelAt(configured), configured: configured}
}

// Enabled implements [zapcore.LevelEnabler].
func (l *Level) Enabled(level zapcore.Level) bool { return l.current.Enabled(level) }

// Configure sets the configured level. A level that SetFor has set stays for its time.
func (l *Level) Configure(level zapcore.Level) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = level
	if l.back == nil {
		l.current.SetLevel(level)
	}
}

// SetFor sets the level for a while, and then calls ended with the configured level, which is
// in force again.
func (l *Level) SetFor(level zapcore.Level, span time.Duration, ended func(zapcore.Level)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back != nil {
		l.back.Stop()
	}
	l.current.SetLevel(level)
	l.until = time.Now().Add(span)
	l.spans++
	mine := l.spans
	l.back = time.AfterFunc(span, func() {
		if configured, is := l.end(mine); is {
			ended(configured)
		}
	})
}

// end returns to the configured level at the end of a span, unless another one has begun at the
// last moment.
func (l *Level) end(span int) (configured zapcore.Level, is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spans != span {
		return 0, false
	}
	l.current.SetLevel(l.configured)
	l.until, l.back = time.Time{}, nil
	return l.configured, true
}

// State returns the level in force and the configured one. until is when the configured one is
// in force again, zero if it is.
func (l *Level) State() (current, configured zapcore.Level, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current.Level(), l.configured, l.until
}
