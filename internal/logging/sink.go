package logging

import (
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// queueLength is how many lines wait for a slow reader of the log.
	queueLength = 4096
	// recordQueue is how many records wait, each with its writer.
	recordQueue = 1024
)

// A Sink writes to one target in the background: the reader of a log may stall, and no request
// may wait for it. A Sink takes lines, which are dropped and counted when the queue is full
// ([Stream]), and records, whose writers wait for the result ([Sink.Record]). It is safe for
// concurrent use.
type Sink struct {
	name string
	out  io.Writer
	// file is out if that is a file of ours, to open again.
	file *os.File

	lines   chan queued
	records chan *record
	reopen  chan struct{}
	// spare has the buffers of lines that were written.
	spare sync.Pool
	// ended is closed when the last line is written.
	ended chan struct{}

	mu     sync.RWMutex
	closed bool

	streams []*Stream
	// log is told what is wrong with the sink. It may be nil.
	log *zap.Logger

	// Only Run uses these.
	batch   []byte
	entries []entry
	// torn says that the last line lacks its end.
	torn, failing bool
	told          time.Time
}

// queued is a line that waits.
type queued struct {
	text *[]byte
	of   *Stream
}

// An entry is a line or a record in a batch, and where in it that ends.
type entry struct {
	end    int
	of     *Stream
	record *record
}

// NewSink returns a Sink that writes to out. Nothing is written before Run.
func NewSink(name string, out io.Writer) *Sink {
	return &Sink{
		name: name, out: out, lines: make(chan queued, queueLength), records: make(chan *record, recordQueue),
		reopen: make(chan struct{}, 1), ended: make(chan struct{}),
		spare: sync.Pool{New: func() any { return new([]byte) }},
	}
}

// Stream returns a writer of lines with counts of its own. It must be called before Run.
func (s *Sink) Stream(name string) *Stream {
	stream := &Stream{name: name, sink: s}
	s.streams = append(s.streams, stream)
	return stream
}

// Tell makes the sink say in log what is wrong with it. It must be called before Run.
func (s *Sink) Tell(log *zap.Logger) { s.log = log.With(zap.String("target", s.name)) }

// Run writes until Close. It may be called once.
func (s *Sink) Run() {
	defer close(s.ended)
	for open := true; open; {
		s.batch, s.entries = s.batch[:0], s.entries[:0]
		if s.torn {
			s.batch = append(s.batch, '\n')
		}
		select {
		case r := <-s.records:
			s.takeRecord(r)
		case <-s.reopen:
			s.openAgain()
			continue
		case line, more := <-s.lines:
			if open = more; open {
				s.takeLine(line)
				// Lines that are ready may be added: a system call for each line is a tenth
				// of what a denial costs.
				runtime.Gosched()
			}
		}
		s.gather(open)
		s.write()
	}
}

// batchSize is about how many bytes are written at once.
const batchSize = 32 << 10

// gather adds what waits, records first.
func (s *Sink) gather(open bool) {
	for len(s.batch) < batchSize {
		select {
		case r := <-s.records:
			s.takeRecord(r)
			continue
		default:
		}
		if !open {
			return
		}
		select {
		case line, more := <-s.lines:
			if !more {
				return
			}
			s.takeLine(line)
		default:
			return
		}
	}
}

func (s *Sink) takeLine(line queued) {
	s.batch = append(s.batch, *line.text...)
	s.entries = append(s.entries, entry{end: len(s.batch), of: line.of})
	s.recycle(line.text)
}

func (s *Sink) takeRecord(r *record) {
	if !r.settled.CompareAndSwap(false, true) {
		return // its writer has left
	}
	s.batch = append(s.batch, r.text...)
	s.entries = append(s.entries, entry{end: len(s.batch), record: r})
}

// write writes the batch and reports the result to each entry of it.
func (s *Sink) write() {
	if len(s.entries) == 0 {
		return
	}
	n, err := s.out.Write(s.batch)
	if n > 0 {
		// What is cut off must not spoil the line after it.
		s.torn = s.batch[n-1] != '\n'
	}
	var unsynced error
	for i := range s.entries {
		if e := &s.entries[i]; e.record != nil {
			// A record counts once it would outlive the machine.
			unsynced = s.sync()
			break
		}
	}
	for i := range s.entries {
		e := &s.entries[i]
		switch written := e.end <= n; {
		case e.record != nil && written:
			e.record.done <- unsynced
		case e.record != nil:
			e.record.done <- err
		case !written:
			e.of.failed.Add(1)
		}
		*e = entry{}
	}
	s.tell(errors.Join(err, unsynced))
}

// tellInterval is how often the log says at most that lines were lost.
const tellInterval = 10 * time.Second

// tell says when writing begins to fail, when it works again, and what was lost.
func (s *Sink) tell(err error) {
	if s.log == nil {
		return
	}
	if failing := err != nil; failing != s.failing {
		s.failing = failing
		if failing {
			s.log.Error("the log cannot be written, lines are lost", zap.Error(err))
			return
		}
		s.log.Warn("the log can be written again")
		s.told = time.Time{}
	}
	// Into a full queue this would be lost, too.
	if now := time.Now(); err == nil && now.Sub(s.told) >= tellInterval && len(s.lines) < queueLength/2 {
		for _, stream := range s.streams {
			if lost := stream.dropped.Load() + stream.failed.Load(); lost > stream.told {
				s.told = now
				s.log.Warn("lines of the log were lost", zap.String("stream", stream.name), zap.Uint64("lines", lost-stream.told))
				stream.told = lost
			}
		}
	}
}

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
		if s.file != nil {
			_ = s.file.Close() // as above
		}
	case <-timer.C:
	}
}
