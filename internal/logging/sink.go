package logging

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// queueLength is how many lines wait for a slow reader of the log.
const queueLength = 4096

// A Sink takes lines and writes them behind the back of who logs: whoever reads
// the log may stall, and no request must wait for them. Lines that find the
// queue full are dropped and counted. It is safe for concurrent use.
type Sink struct {
	out     io.Writer
	lines   chan *[]byte
	dropped atomic.Uint64
	// spare has the buffers of lines that were written.
	spare sync.Pool
	// ended is closed when the last line is written.
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
		// Whoever has a line ready may add it: a system call for each line is a
		// tenth of what a denial costs.
		runtime.Gosched()
		batch = s.gather(batch)
		// There is nobody left to tell.
		_, _ = s.out.Write(batch)
	}
}

// batchSize is about how many bytes are written at once.
const batchSize = 32 << 10

// gather adds the lines that wait.
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

// maxSpare bounds the buffers that are kept: a stack trace must not take up
// memory for good.
const maxSpare = 4 << 10

func (s *Sink) recycle(line *[]byte) {
	if cap(*line) <= maxSpare {
		s.spare.Put(line)
	}
}

// Dropped is how many lines nobody will read.
func (s *Sink) Dropped() uint64 { return s.dropped.Load() }

// Close lets what is queued be written, for up to patience, and drops what comes
// after.
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
