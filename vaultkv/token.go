package vaultkv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecretBytes is far beyond the longest Vault token (batch tokens grow with
// their metadata) or JWT, and keeps a wrong file from being read into memory.
const maxSecretBytes = 64 << 10

// parseSecret trims what editors and `echo` leave around a token. Its errors
// never quote it.
func parseSecret(raw, what string) (string, error) {
	token := strings.TrimSpace(raw)
	if token == "" {
		return "", fmt.Errorf("there is no %s in it", what)
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c >= 0x7f {
			return "", fmt.Errorf("it is no %s: it holds white space, control characters or non-ASCII ones", what)
		}
	}
	return token, nil
}

func parseToken(raw string) (string, error) {
	token, err := parseSecret(raw, "Vault token")
	if err != nil && strings.TrimSpace(raw) == "" {
		return "", errors.New("there is no token in it")
	}
	return token, err
}

// readFile reads a file that holds one secret. A process that replaces the file
// may let it be seen half written; the server then refuses the half, and it is
// read again.
func readFile(name, what string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", what, err)
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	if err != nil {
		return "", fmt.Errorf("reading the %s: %w", what, err)
	}
	if len(raw) > maxSecretBytes {
		return "", fmt.Errorf("file %q: longer than %d bytes, it is no %s", name, maxSecretBytes, what)
	}
	return string(raw), nil
}

// readSecret reads a file with a token of some kind.
func readSecret(name, what string) (string, error) {
	raw, err := readFile(name, what)
	if err != nil {
		return "", err
	}
	secret, err := parseSecret(raw, what)
	if err != nil {
		return "", fmt.Errorf("file %q: %w", name, err)
	}
	return secret, nil
}

// readToken reads a file with a Vault token.
func readToken(name string) (string, error) {
	raw, err := readFile(name, "Vault token")
	if err != nil {
		return "", err
	}
	token, err := parseToken(raw)
	if err != nil {
		return "", fmt.Errorf("token file %q: %w", name, err)
	}
	return token, nil
}

// readPassword reads a file with a password, which may hold anything but ends
// before a last newline.
func readPassword(name string) (string, error) {
	raw, err := readFile(name, "password")
	if err != nil {
		return "", err
	}
	raw = strings.TrimSuffix(strings.TrimSuffix(raw, "\n"), "\r")
	if raw == "" {
		return "", fmt.Errorf("file %q: there is no password in it", name)
	}
	return raw, nil
}
