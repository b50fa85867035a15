package authz

import (
	"context"
	"strings"
)

// A TraceOf returns the id of the trace that a check is a part of, "" for none, and whether
// that trace is sampled. It is called before the answer is sent, for the checks whose trace is
// recorded. The id may share the memory of the request.
type TraceOf func(ctx context.Context, r *Request) (id string, sampled bool)

// of calls f, which may be nil.
func (f TraceOf) of(ctx context.Context, r *Request) (id string, sampled bool) {
	if f == nil {
		return "", false
	}
	return f(ctx, r)
}

// TraceID returns the trace id in a traceparent (W3C Trace Context), such as
// 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01, and whether the trace is sampled. The id
// is "" if the traceparent is not valid. The client may have written it, so nothing but 32
// hexadecimal digits comes out. The id shares the memory of the argument.
func TraceID(traceparent string) (id string, sampled bool) {
	version, rest, _ := strings.Cut(traceparent, "-")
	id, rest, _ = strings.Cut(rest, "-")
	parent, rest, _ := strings.Cut(rest, "-")
	// Version 00 ends with the flags; a later one may go on.
	flags, _, goesOn := strings.Cut(rest, "-")
	switch {
	case len(version) != 2 || !isLowerHex(version) || version == "ff" || version == "00" && goesOn,
		len(id) != 32 || !isID(id), len(parent) != 16 || !isID(parent), len(flags) != 2 || !isLowerHex(flags):
		return "", false
	}
	return id, strings.IndexByte("13579bdf", flags[1]) >= 0
}

// isID says whether s is an id: the one of only zeros is invalid.
func isID(s string) bool { return isLowerHex(s) && strings.Trim(s, "0") != "" }

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}
