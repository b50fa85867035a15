// Package kvpath decides which strings may become part of a path of a KV engine.
// vault/api, proxies and servers clean and decode paths along the way, which could
// let one key stand for another; so everything that such a step could change is
// refused.
package kvpath

import (
	"path"
	"strings"
)

// maxLength is the longest access token that a grammar of authz can allow.
const maxLength = 4096

// special are the characters that have a meaning in a URL path or in Vault's own
// paths, and those that no access token may have.
const special = "/\\%?#;\"<>^{|}`[],!"

// IsSegment reports whether s is one path segment that means nothing but itself,
// before and after cleaning, encoding and decoding. The key of a credential must be
// one. This is wider than the grammar of access tokens, so that an entry that was
// made directly in Vault can be listed and deleted.
func IsSegment(s string) bool {
	if s == "" || len(s) > maxLength || s == "." || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(special, c) >= 0 {
			return false
		}
	}
	return true
}

// IsPath reports whether p is one or more such segments with single slashes between
// them, so that each mount and each namespace has exactly one spelling.
func IsPath(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if !IsSegment(segment) {
			return false
		}
	}
	return p == path.Clean(p)
}
