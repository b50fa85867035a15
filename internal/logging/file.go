package logging

import (
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"
)

// OpenFile returns a Sink that adds to a file, which it makes if need be. Who may reach the file
// is decided by the folder.
func OpenFile(path string) (*Sink, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	s := NewSink(path, file)
	s.file, s.torn = file, isTorn(path)
	return s, nil
}

// isTorn says whether the last line of a file may lack its end, for example after a crash or
// when the disk was full. What is written next must not continue that line.
func isTorn(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return true
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return true
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return err != nil || last[0] != '\n'
}

func openFile(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Mode().Type()&^fs.ModeCharDevice&^fs.ModeDevice != 0 {
		return nil, fmt.Errorf("%q is neither a file nor a device; give the path of a file", path)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // the group reads logs
	if err != nil {
		return nil, fmt.Errorf("%w; the folder has to be there, and writable for vault-authz", err)
	}
	return file, nil
}

// sync waits until what was written to a file would outlive the machine.
func (s *Sink) sync() error {
	if s.file == nil {
		return nil
	}
	if info, err := s.file.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	return s.file.Sync()
}

// Reopen opens the file again by its name, after the batch that is being written: what rotates
// logs has renamed it. If that fails, the file before stays in use.
func (s *Sink) Reopen() {
	select {
	case s.reopen <- struct{}{}:
	default: // it is about to
	}
}

func (s *Sink) openAgain() {
	if s.file == nil {
		return
	}
	file, err := openFile(s.name)
	if err != nil {
		if s.log != nil {
			s.log.Error("the log file cannot be opened again, the one before stays in use", zap.Error(err))
		}
		return
	}
	_ = s.file.Close() // all that was to be kept is synced
	s.file, s.out, s.torn = file, file, isTorn(s.name)
}
