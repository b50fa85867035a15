package authz

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// canonicalName is how names of tokens and headers are compared where "_" and
// "-" count as the same: what a client sends with one reaches many upstreams as
// the other.
func canonicalName(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "_", "-")
}

// foldedName goes further: every character that is neither letter nor digit
// counts as a dash, as in upstreams that hand headers on as environment
// variables (CGI).
func foldedName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '-'
		}
		return rune(foldedByte(byte(r))) //nolint:gosec // below RuneSelf
	}, name)
}

// foldedByte is what one byte of ASCII counts as. A byte that is part of a
// longer character counts as a dash, as the character does.
func foldedByte(c byte) byte {
	switch {
	case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		return c
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	}
	return '-'
}

// plainName says whether a header's name is letters, digits, dashes and
// underscores only, so that its spellings can be listed ahead of requests. Names
// are in lower case already.
func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// spelledOut says whether [spellings] lists every spelling of name.
func spelledOut(name string) bool {
	return strings.Count(canonicalName(name), "-") <= maxSpelledSeparators
}

// maxSpelledSeparators bounds how many spellings of one name are listed: they
// double with each separator. Names with more of them are stripped by what the
// request really contains.
const maxSpelledSeparators = 4

// spellings lists the ways to write name with "_" and "-" in place of each
// other, in lower case, sorted.
func spellings(name string) []string {
	canonical := canonicalName(name)
	if !spelledOut(canonical) {
		return slices.Compact(slices.Sorted(slices.Values([]string{
			canonical, strings.ReplaceAll(canonical, "-", "_"), strings.ToLower(name),
		})))
	}
	all := []string{""}
	for i := range len(canonical) {
		c := canonical[i]
		if c != '-' {
			for j := range all {
				all[j] += string(c)
			}
			continue
		}
		next := make([]string, 0, 2*len(all))
		for _, prefix := range all {
			next = append(next, prefix+"-", prefix+"_")
		}
		all = next
	}
	slices.Sort(all)
	return all
}

// isReserved says whether a token must not go by this canonical name, because
// hiding it would take away a header that has a meaning of its own.
func isReserved(canonical string) bool {
	switch canonical {
	case "host", "connection", "content-length", "content-type", "content-encoding",
		"transfer-encoding", "te", "upgrade", "cookie", "origin", "accept":
		return true
	}
	return slices.Contains(identityHeaders[:], canonical)
}
