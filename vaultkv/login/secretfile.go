package login

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecretBytes is far beyond the longest Vault token (batch tokens grow with
// their metadata) or JWT. It keeps a wrong file from being read into memory.
const maxSecretBytes = 64 << 10

// parseSecret trims what editors and `echo` leave around a token. Its errors never
// quote the token.
func parseSecret(raw, what string) (string, error) {
	token := strings.TrimSpace(raw)
	if token == "" {
		return "", fmt.Errorf("there is no %s in it", what)
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c >= 0x7f {
			return "", fmt.Errorf("it is no %s: it contains white space, control characters or non-ASCII ones", what)
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

// readFile reads a file that contains one secret. If another process is just
// replacing the file, the secret may be incomplete; the server then refuses it, and
// the file is read again.
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

// readSecret reads a file that contains a token of some kind.
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

// readToken reads a file that contains a Vault token.
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

// readPassword reads a file that contains a password. The password may contain any
// character; one newline at the end of the file is ignored.
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
