package logging

import "sync/atomic"

// A Stream writes lines to a Sink. It is safe for concurrent use.
type Stream struct {
	name string
	sink *Sink
	// dropped is how many lines found the queue full, failed how many could not be written.
	dropped, failed atomic.Uint64
	// told is how many of those have been told of.
	told uint64
}

// Write implements [io.Writer]. It never waits and never fails; p is copied.
func (s *Stream) Write(p []byte) (int, error) {
	s.sink.mu.RLock()
	defer s.sink.mu.RUnlock()
	if s.sink.closed {
		s.dropped.Add(1)
		return len(p), nil
	}
	line := s.sink.spare.Get().(*[]byte) //nolint:forcetypeassert // the pool's New makes nothing else
	*line = append((*line)[:0], p...)
	select {
	case s.sink.lines <- queued{line, s}:
	default:
		s.dropped.Add(1)
		s.sink.recycle(line)
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
