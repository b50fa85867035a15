package partstest

import (
	"context"
	"os"
	"sync"
	"testing"

	"github.com/vault-authz/vault-authz/test/parts"
)

// A Service builds vault-authz once for all tests of a package, with the race
// detector if the tests have it. The zero value is ready. It is safe for
// concurrent use.
type Service struct {
	once   sync.Once
	dir    string
	binary string
	err    error
}

// Build returns the binary.
func (s *Service) Build() (string, error) {
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "vault-authz-build-"); s.err == nil {
			s.binary, s.err = parts.BuildService(context.Background(), s.dir, withRace)
		}
	})
	return s.binary, s.err
}

// Binary returns the binary, and fails the test if it cannot be built.
func (s *Service) Binary(t *testing.T) string {
	t.Helper()
	binary, err := s.Build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

// Remove deletes the binary. Call it once all tests have ended.
func (s *Service) Remove() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// Main runs the tests of a package that have no further set-up, and returns the
// exit code.
func (s *Service) Main(m *testing.M) int {
	defer s.Remove()
	return m.Run()
}
