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

// The parts of a traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.
const (
	traceIDStart, traceIDEnd   = 3, 35
	parentIDStart, parentIDEnd = 36, 52
	flagsStart, flagsEnd       = 53, 55
	traceParentLength          = 55
)

// TraceID returns the trace id in a traceparent (W3C Trace Context), "" if it is not a valid
// one, and whether the trace is sampled. The client may have written it, so nothing but 32
// hexadecimal digits comes out. The id shares the memory of the argument.
func TraceID(traceparent string) (id string, sampled bool) {
	version, rest := "", ""
	if len(traceparent) >= traceParentLength {
		version, rest = traceparent[:2], traceparent[flagsEnd:]
	}
	switch {
	case !isLowerHex(version) || version == "ff",
		// Version 00 ends here; a later one may go on behind a dash.
		rest != "" && (version == "00" || rest[0] != '-'),
		traceparent[2] != '-' || traceparent[traceIDEnd] != '-' || traceparent[parentIDEnd] != '-':
		return "", false
	}
	id = traceparent[traceIDStart:traceIDEnd]
	parent, flags := traceparent[parentIDStart:parentIDEnd], traceparent[flagsStart:flagsEnd]
	if !isID(id) || !isID(parent) || !isLowerHex(flags) {
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
