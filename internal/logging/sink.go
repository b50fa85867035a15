package logging

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// queueLength is the number of lines that wait for a slow reader of the log.
const queueLength = 4096

// A Sink writes log lines asynchronously, so that no request waits for a stalled reader of
// the log. If the queue is full, it drops and counts lines. It is safe for concurrent use.
type Sink struct {
	out     io.Writer
	lines   chan *[]byte
	dropped atomic.Uint64
	// spare has free buffers.
	spare sync.Pool
	// ended is closed after the last line was written.
	ended chan struct{}

	mu     sync.RWMutex
	closed bool
}

// NewSink returns a Sink that writes to out. Nothing is written before Run.
func NewSink(out io.Writer) *Sink {
	return &Sink{
		out: out, lines: make(chan *[]byte, queueLength), ended: make(chan struct{}),
		spare: sync.Pool{New: func() any { return new([]byte) }},
	}
}

// Run writes lines until Close. It may be called once.
func (s *Sink) Run() {
	defer close(s.ended)
	var batch []byte
	for line := range s.lines {
		batch = s.take(batch[:0], line)
		// Let other goroutines add their lines first: a system call for each line is a
		// tenth of the cost of a denial.
		runtime.Gosched()
		batch = s.gather(batch)
		// An error of the log cannot be logged.
		_, _ = s.out.Write(batch)
	}
}

// batchSize is the approximate size of a write.
const batchSize = 32 << 10

// gather appends the queued lines.
func (s *Sink) gather(batch []byte) []byte {
	for len(batch) < batchSize {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return batch
			}
			batch = s.take(batch, line)
		default:
			return batch
		}
	}
	return batch
}

func (s *Sink) take(batch []byte, line *[]byte) []byte {
	batch = append(batch, *line...)
	s.recycle(line)
	return batch
}

// Write implements [io.Writer]. It never waits and never fails; p is copied.
func (s *Sink) Write(p []byte) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		s.dropped.Add(1)
		return len(p), nil
	}
	line := s.spare.Get().(*[]byte) //nolint:forcetypeassert // the pool's New makes nothing else
	*line = append((*line)[:0], p...)
	select {
	case s.lines <- line:
	default:
		s.dropped.Add(1)
		s.recycle(line)
	}
	return len(p), nil
}

// maxSpare is the limit for buffers that are kept: the buffer of a stack trace is not.
const maxSpare = 4 << 10

func (s *Sink) recycle(line *[]byte) {
	if cap(*line) <= maxSpare {
		s.spare.Put(line)
	}
}

// Dropped returns the number of dropped lines.
func (s *Sink) Dropped() uint64 { return s.dropped.Load() }

// Close waits up to patience until the queued lines are written. Later lines are dropped.
func (s *Sink) Close(patience time.Duration) {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.lines)
	}
	s.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.ended:
	case <-timer.C:
	}
}
