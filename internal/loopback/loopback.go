// Package loopback says which hosts are this machine itself.
package loopback

import (
	"net/netip"
	"strings"
)

// Is reports whether host, an IP address or a name without a port, can only be this machine.
// Of the names that is localhost alone: other resolvers may ask the network for what ends in
// .localhost.
func Is(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}
