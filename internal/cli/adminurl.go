package cli

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/vault-authz/vault-authz/internal/loopback"
)

// adminURL returns the URL that --admin means. A host and a port are enough for this machine.
// For another one the error says what to write: tokens are sent there.
func adminURL(at string) (string, error) {
	if strings.Contains(at, "://") {
		return at, nil
	}
	host, port, err := net.SplitHostPort(at)
	switch {
	case err != nil || port == "":
		return "", errors.New("--admin: give a URL like " + defaultAdminURL + " or https://admin.example.com:9192, or HOST:PORT on this machine")
	case host == "":
		host = "127.0.0.1"
	case !loopback.Is(host):
		return "", fmt.Errorf("--admin: %q does not say how to call it; write https://%s, or http://%s with --insecure where the network is trusted", at, at, at)
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// isPrivate reports whether what is sent to a URL is encrypted or stays on this machine.
func isPrivate(at string) bool {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" {
		return err == nil
	}
	return loopback.Is(u.Hostname())
}
