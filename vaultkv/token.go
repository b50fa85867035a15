package vaultkv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxTokenBytes is far beyond the longest Vault token (batch tokens grow with
// their metadata), and keeps a wrong file from being read into memory.
const maxTokenBytes = 64 << 10

// parseToken trims what editors and `echo` leave around a token. Its errors
// never quote the token.
func parseToken(raw string) (string, error) {
	token := strings.TrimSpace(raw)
	if token == "" {
		return "", errors.New("there is no token in it")
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c >= 0x7f {
			return "", errors.New("it is no Vault token: it holds white space, control characters or non-ASCII ones")
		}
	}
	return token, nil
}

// readToken reads a token file. A process that replaces the file may let it be
// seen half written; Vault then refuses the half, and it is read again.
func readToken(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("reading the Vault token: %w", err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	if err != nil {
		return "", fmt.Errorf("reading the Vault token: %w", err)
	}
	if len(raw) > maxTokenBytes {
		return "", fmt.Errorf("token file %q: longer than %d bytes, it is no Vault token", name, maxTokenBytes)
	}
	token, err := parseToken(string(raw))
	if err != nil {
		return "", fmt.Errorf("token file %q: %w", name, err)
	}
	return token, nil
}
