// Package loopback says which hosts are this machine itself.
package loopback

import (
	"net/netip"
	"strings"
)

// Is reports whether host, an IP address or a name without a port, can only be this machine.
// The only name that it accepts is localhost. Some resolvers look up names that end in
// .localhost on the network.
func Is(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
