package vaultkv

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/internal/loopback"
)

// socketScheme is the beginning of the address of a Unix socket.
const socketScheme = "unix:"

// An address is where a server listens.
type address struct {
	// text is the address as configured, for texts.
	text string
	// url consists of scheme and host.
	url url.URL
	// socket is the path of a Unix socket, empty for TCP.
	socket string
}

// parseAddresses splits and parses a list of addresses separated by commas.
func parseAddresses(list string) ([]address, error) {
	if list == "" {
		return nil, errors.New("must be set, like https://vault.example.com:8200")
	}
	var all []address
	seen := map[string]bool{}
	for text := range strings.SplitSeq(list, ",") {
		a, err := parseAddress(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		if seen[a.origin()] {
			return nil, fmt.Errorf("%q is given twice", a.text)
		}
		seen[a.origin()] = true
		all = append(all, a)
	}
	return all, nil
}

func parseAddress(text string) (address, error) {
	if socket, ok := strings.CutPrefix(text, socketScheme); ok {
		// Vault's own tools write unix:///run/vault.sock.
		socket = strings.TrimPrefix(socket, "//")
		if !strings.HasPrefix(socket, "/") || strings.HasSuffix(socket, "/") {
			return address{}, errors.New("must have the absolute path of a socket behind unix:, like unix:/run/vault/vault.sock")
		}
		return address{text: socketScheme + socket, url: url.URL{Scheme: "http", Host: "localhost"}, socket: socket}, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		// The text is not quoted: it may contain a password.
		return address{}, errors.New("must be http:// or https:// with a host, like https://vault.example.com:8200, or unix: with the path of a socket")
	case u.User != nil:
		return address{}, errors.New("must not contain a user or password; give the Vault token by file or environment")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return address{}, errors.New("must end after host and port; the mount goes into mount")
	case !isPort(u.Port()):
		return address{}, fmt.Errorf("%q has no port from 1 to 65535 after the colon", u.Host)
	}
	return address{text: strings.TrimSuffix(text, "/"), url: url.URL{Scheme: u.Scheme, Host: u.Host}}, nil
}

// isPort reports whether port is empty or a port number.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// origin is equal for two addresses of the same place.
func (a *address) origin() string {
	if a.socket != "" {
		return a.text
	}
	return originOf(&a.url)
}

// originOf returns scheme, host and port of a URL in a canonical form.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// named reports whether the address has a host name that has to be resolved.
func (a *address) named() bool {
	_, err := netip.ParseAddr(a.url.Hostname())
	return a.socket == "" && err != nil
}

func (a *address) secure() bool { return a.url.Scheme == "https" }

// inTheClear reports whether requests cross a network unencrypted.
func (a *address) inTheClear() bool {
	return !a.secure() && a.socket == "" && !loopback.Is(a.url.Hostname())
}

// parseProxy parses the URL of a proxy. It returns nil for an empty text.
func parseProxy(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("must be http:// or https:// with a host, like http://proxy.example.com:3128")
	case u.User != nil:
		return nil, errors.New("must not contain a user or password, since the configuration is no place for secrets; let the proxy authorise this host")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return nil, errors.New("must end after host and port")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
