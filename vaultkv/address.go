package vaultkv

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// socketScheme begins the address of a server that listens on a Unix socket.
const socketScheme = "unix:"

// An address is one place at which the server is asked.
type address struct {
	// text is the address as it was configured, for people.
	text string
	// url is what a request begins with: scheme and host, nothing else.
	url url.URL
	// socket is the path of a Unix socket, empty for TCP.
	socket string
}

// parseAddresses takes a list of addresses, separated by commas, apart.
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
			return nil, fmt.Errorf("%q is there twice", a.text)
		}
		seen[a.origin()] = true
		all = append(all, a)
	}
	return all, nil
}

func parseAddress(text string) (address, error) {
	if socket, ok := strings.CutPrefix(text, socketScheme); ok {
		// unix:///run/vault.sock is how Vault's own tools write it.
		socket = strings.TrimPrefix(socket, "//")
		if !strings.HasPrefix(socket, "/") || strings.HasSuffix(socket, "/") {
			return address{}, errors.New("must have the absolute path of a socket behind unix:, like unix:/run/vault/vault.sock")
		}
		return address{text: socketScheme + socket, url: url.URL{Scheme: "http", Host: "localhost"}, socket: socket}, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		// What does not parse is not quoted: it may hold a password.
		return address{}, errors.New("must be http:// or https:// with a host, like https://vault.example.com:8200, or unix: with the path of a socket")
	case u.User != nil:
		return address{}, errors.New("must not hold a user or password; give the Vault token by file or environment")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return address{}, errors.New("must end after host and port; the mount goes into mount")
	case !isPort(u.Port()):
		return address{}, fmt.Errorf("%q has no port from 1 to 65535 behind the colon", u.Host)
	}
	return address{text: strings.TrimSuffix(text, "/"), url: url.URL{Scheme: u.Scheme, Host: u.Host}}, nil
}

// isPort says whether a port can be one, or is left out.
func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && n > 0
}

// origin is the same for two addresses that lead to the same place.
func (a *address) origin() string {
	if a.socket != "" {
		return a.text
	}
	return originOf(&a.url)
}

// originOf returns scheme, host and port of a URL in one way of writing.
func originOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// named says whether the address has to be resolved.
func (a *address) named() bool {
	_, err := netip.ParseAddr(a.url.Hostname())
	return a.socket == "" && err != nil
}

func (a *address) secure() bool { return a.url.Scheme == "https" }

// inTheClear says whether what is sent there can be read on a network.
func (a *address) inTheClear() bool {
	return !a.secure() && a.socket == "" && !isLoopback(a.url.Hostname())
}

func isLoopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// parseProxy takes the address of a proxy; empty for none.
func parseProxy(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("must be http:// or https:// with a host, like http://proxy.example.com:3128")
	case u.User != nil:
		return nil, errors.New("must not hold a user or password: they would be in the configuration; let the proxy know this host")
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return nil, errors.New("must end after host and port")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}
