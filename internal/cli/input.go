package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// dash is standard input where a flag names a file.
const dash = "-"

// claim reserves standard input for a flag: it can be read only once.
func (s *session) claim(flag string) error {
	if s.claimed != "" {
		return fmt.Errorf("standard input is read for %s already; give a file to one of the two", s.claimed)
	}
	s.claimed = flag
	return nil
}

// secret reads a secret from a file, or for "-" from standard input; on a terminal without
// echo. A secret is never the value of a flag: every user of the machine could see it, and the
// shell would remember it.
func (s *session) secret(ctx context.Context, flag, what, from string) (string, error) {
	flag = "--" + flag
	value, err := s.readSecret(ctx, flag, what, from)
	if err != nil {
		return "", exitError{exitUsage, fmt.Errorf("%s: %w", flag, err)}
	}
	return value, nil
}

// maxSecret bounds a secret, in bytes; a longer file is the wrong one.
const maxSecret = 64 << 10

func (s *session) readSecret(ctx context.Context, flag, what, from string) (string, error) {
	if from == dash {
		if fd, isTerminal := terminal(s.in); isTerminal {
			return s.hidden(ctx, fd, what)
		}
	}
	raw, err := s.file(flag, from, maxSecret, "it is too long for a secret; is it the right file?")
	if err != nil {
		return "", err
	}
	return trimmed(string(raw))
}

// trimmed is a secret without the space around it.
func trimmed(secret string) (string, error) {
	if secret = strings.TrimSpace(secret); secret == "" {
		return "", errors.New("it is empty")
	}
	return secret, nil
}

// maxPEM bounds a PEM file, in bytes. The authorities of a whole system take a fraction of it.
const maxPEM = 4 << 20

// pem reads a file with certificates or a key, or standard input for "-".
func (s *session) pem(f tlsfiles.File) ([]byte, error) {
	return s.file(f.Setting, f.Path, maxPEM, "it is too long for certificates; is it the right file?")
}

// file reads the file of a flag, or standard input for "-", which it claims. tooLong is the error
// for more than limit bytes.
func (s *session) file(flag, name string, limit int64, tooLong string) ([]byte, error) {
	if name == dash {
		if err := s.claim(flag); err != nil {
			return nil, err
		}
	}
	raw, err := readAtMost(limit, s.in, name)
	if errors.Is(err, errTooLong) {
		err = errors.New(tooLong)
	}
	return raw, err
}

var errTooLong = errors.New("it is too long")

// readAtMost reads a file of at most limit bytes, or in for "-". The error of a longer one is
// errTooLong.
func readAtMost(limit int64, in io.Reader, name string) ([]byte, error) {
	if name != dash {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = errTooLong
	}
	return raw, err
}
