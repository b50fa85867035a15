package authn

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vault-authz/vault-authz/internal/api"
)

type hostRule struct{ name, port string }

func (g *Authenticator) knowsHost(host string) bool {
	name, port, ok := splitHost(host)
	if !ok {
		return false
	}
	for _, rule := range g.hosts {
		if rule.name == name && (rule.port == "" || rule.port == port) {
			return true
		}
	}
	return false
}

// splitHost reads a name or address with or without a port; an IPv6 address is
// in brackets and loses them.
func splitHost(s string) (name, port string, ok bool) {
	name = s
	if i := strings.LastIndexByte(s, ':'); i >= 0 && !strings.HasSuffix(s, "]") {
		var err error
		if name, port, err = net.SplitHostPort(s); err != nil {
			return "", "", false
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", "", false
		}
	} else if inner, bracketed := strings.CutPrefix(s, "["); bracketed {
		name = strings.TrimSuffix(inner, "]")
	}
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.String(), port, true
	}
	// It is checked before its case is changed: letters outside ASCII fold into
	// ASCII letters.
	name = strings.TrimSuffix(name, ".")
	return strings.ToLower(name), port, name != "" && api.CheckHost(name) == ""
}
