package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// socketPrefix is the prefix of the address of a Unix socket.
const socketPrefix = "unix:"

// maxSocketPath is the limit of the kernel, without the final NUL byte.
const maxSocketPath = 107

// ValidateAddress returns an error if [Listen] can never accept the address, on any machine.
func ValidateAddress(address string) error {
	if path, isSocket := strings.CutPrefix(address, socketPrefix); isSocket {
		switch {
		case path == "" || strings.HasPrefix(path, "@") || strings.HasSuffix(path, "/"):
			return errors.New("give the path of a file behind unix:, like unix:/run/vault-authz.sock")
		case len(path) > maxSocketPath:
			return fmt.Errorf("the path of a socket has at most %d bytes, and %q has %d", maxSocketPath, path, len(path))
		}
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || !isHost(host) {
		return fmt.Errorf("%q is neither host:port, like 127.0.0.1:9191, nor unix:/path", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port from 0 to 65535 behind the colon", address)
	}
	return nil
}

// isHost says whether a host is an IP address or a possible name.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	digits := "0123456789."
	if len(host) > 253 || strings.Trim(host, digits) == "" {
		return false
	}
	return !strings.ContainsFunc(host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune(digits+"-_", c)
	})
}

// Collide says whether a machine can never listen on both addresses at the same time.
func Collide(a, b string) bool {
	pathA, socketA := strings.CutPrefix(a, socketPrefix)
	pathB, socketB := strings.CutPrefix(b, socketPrefix)
	if socketA || socketB {
		return socketA && socketB && filepath.Clean(pathA) == filepath.Clean(pathB)
	}
	hostA, portA, problemA := net.SplitHostPort(a)
	hostB, portB, problemB := net.SplitHostPort(b)
	numberA, unknownA := strconv.ParseUint(portA, 10, 16)
	numberB, unknownB := strconv.ParseUint(portB, 10, 16)
	if errors.Join(problemA, problemB, unknownA, unknownB) != nil || numberA != numberB || numberA == 0 {
		return false // 0 is any free port
	}
	if strings.EqualFold(hostA, hostB) {
		return true
	}
	ipA, knownA := ipOf(hostA)
	ipB, knownB := ipOf(hostB)
	return knownA && knownB && (ipA == ipB || covers(ipA, ipB) || covers(ipB, ipA))
}

// ipOf returns the IP address of a host, if it is known without a lookup.
func ipOf(host string) (netip.Addr, bool) {
	switch strings.ToLower(host) {
	case "":
		return netip.IPv6Unspecified(), true
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), true
	}
	ip, err := netip.ParseAddr(host)
	return ip, err == nil
}

// covers says whether listening on one address also takes the port of the other. The
// unspecified address of IPv6 includes IPv4.
func covers(one, other netip.Addr) bool {
	return one.IsUnspecified() && (one.Is6() || other.Is4())
}
