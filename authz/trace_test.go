package authz

import (
	"context"
	"strings"
	"testing"
)

const (
	someTrace       = "4bf92f3577b34da6a3ce929d0e0e4736"
	someTraceparent = "00-" + someTrace + "-00f067aa0ba902b7-01"
)

// ofHeader takes the trace from a header of the request.
func ofHeader(_ context.Context, r *Request) (id string, sampled bool) {
	return TraceID(r.Header("traceparent"))
}

func TestOnlyAValidTraceparentHasATraceID(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, header, want string
		sampled            bool
	}{
		{"sampled", someTraceparent, someTrace, true},
		{"not sampled", "00-" + someTrace + "-00f067aa0ba902b7-00", someTrace, false},
		{"sampled, with another flag", "00-" + someTrace + "-00f067aa0ba902b7-03", someTrace, true},
		{"another flag alone", "00-" + someTrace + "-00f067aa0ba902b7-02", someTrace, false},
		{"a later version", "cc-" + someTrace + "-00f067aa0ba902b7-01", someTrace, true},
		{"a later version with more", "cc-" + someTrace + "-00f067aa0ba902b7-01-what-the-future-has", someTrace, true},
		{"absent", "", "", false},
		{"more than version 00 has", someTraceparent + "-00", "", false},
		{"more without a dash", "cc-" + someTrace + "-00f067aa0ba902b7-01.x", "", false},
		{"too short", someTraceparent[:54], "", false},
		{"the version that is forbidden", "ff" + someTraceparent[2:], "", false},
		{"upper case", strings.ToUpper(someTraceparent), "", false},
		{"a trace id of zeros", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", "", false},
		{"a parent id of zeros", "00-" + someTrace + "-" + strings.Repeat("0", 16) + "-01", "", false},
		{"no digits in the trace id", "00-" + strings.Repeat("\n", 32) + "-00f067aa0ba902b7-01", "", false},
		{"no digits in the parent id", "00-" + someTrace + "-0\"f067aa0ba902b7-01", "", false},
		{"no digits in the flags", "00-" + someTrace + "-00f067aa0ba902b7-0z", "", false},
		{"no digits in the version", "0x" + someTraceparent[2:], "", false},
		{"a dash too early", "00-" + someTrace[:31] + "--00f067aa0ba902b7-01", "", false},
		{"another separator behind the version", "00_" + someTraceparent[3:], "", false},
		{"another separator behind the trace id", "00-" + someTrace + "_00f067aa0ba902b7-01", "", false},
		{"another separator behind the parent id", "00-" + someTrace + "-00f067aa0ba902b7_01", "", false},
	} {
		if got, sampled := TraceID(test.header); got != test.want || sampled != test.sampled {
			t.Errorf("%s: got %q, sampled %t, want %q, %t", test.name, got, sampled, test.want, test.sampled)
		}
	}
}
