package logging

import (
	"bytes"
	"io"
	"sync"
	"syscall"
)

// A disk is a file on one that has room for so many bytes, below 0 for no end of it.
type disk struct {
	mu   sync.Mutex
	room int
	bytes.Buffer
}

var errFull = syscall.ENOSPC

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(p)
	if d.room >= 0 {
		n = min(n, d.room)
		d.room -= n
	}
	d.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func (d *disk) setRoom(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.room = n
}

func (d *disk) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.String()
}

// A stalled reader reads nothing until it is let go.
type stalled struct {
	free chan struct{}
	disk
}

func newStalled() *stalled { return &stalled{free: make(chan struct{}), disk: disk{room: -1}} }

func (s *stalled) Write(p []byte) (int, error) {
	<-s.free
	return s.disk.Write(p)
}

var _ io.Writer = (*stalled)(nil)
