package api

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vault-authz/vault-authz/authz"
	"github.com/vault-authz/vault-authz/internal/kvpath"
)

// checkOf returns the check of a name, nil if it is unknown. A check describes the
// mistake in a text, "" for a valid one. It does not quote a text that may be secret.
func checkOf(name string) func(string) string {
	switch name {
	case "uuid":
		return checkUUID
	case "name":
		return checkName
	case "host":
		return CheckHost
	case "mount":
		return checkMount
	case "visible":
		return checkVisible
	case "tag":
		return CheckTag
	case "group":
		return checkGroup
	case "protocol":
		return checkProtocol
	}
	return nil
}

func checkUUID(s string) string {
	if !authz.IsUUID(s) {
		return "expected a valid UUID"
	}
	return ""
}

// checkName accepts names that can be told from ids in paths.
func checkName(s string) string {
	switch {
	case authz.IsUUID(s):
		return "must not look like an id"
	case len(s) > 128:
		return "length must be at most 128"
	}
	for _, c := range s {
		if c < ' ' || c == 0x7f {
			return "must not contain control characters"
		}
	}
	return ""
}

// CheckHost describes the mistake in the name or address of a host, "" for a valid one.
func CheckHost(s string) string {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil && ip.Zone() == "" {
		return ""
	}
	if len(s) > 253 || strings.Trim(s, ".-") != s {
		return "expected a host name or an address"
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return "expected a host name or an address"
		}
	}
	return ""
}

// checkMount accepts plain segments: the mount becomes part of a URL.
func checkMount(s string) string {
	for segment := range strings.SplitSeq(s, "/") {
		if !kvpath.IsSegment(segment) {
			return "expected plain segments without a slash at either end"
		}
	}
	return ""
}

// checkVisible accepts what fits into a header.
func checkVisible(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return "expected visible ASCII"
		}
	}
	return ""
}

// CheckTag is Kong's rule for tags: "," and "/" separate them in filters.
func CheckTag(s string) string {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == ',' || c == '/' {
			return fmt.Sprintf("invalid tag %q: expected printable ascii (except `,` and `/`) or valid utf-8 sequences", s)
		}
	}
	return ""
}

func checkGroup(group string) string {
	if strings.Contains(group, ",") {
		return "a group has no comma; repeat the field, or send a JSON array, for more than one"
	}
	return ""
}

// checkProtocol accepts the protocols that Kong Enterprise lists apart, too: to Envoy a
// WebSocket is an HTTP request, which is governed like any other.
func checkProtocol(s string) string {
	if !slices.Contains(Protocols(), s) && s != "ws" && s != "wss" {
		return "expected one of: grpc, grpcs, http, https"
	}
	return ""
}
