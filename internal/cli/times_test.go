package cli

import (
	"testing"
	"time"
)

func TestTimesAreGivenAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct{ value, want string }{
		{"2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z"},
		{"2030-01-01T02:00:00+02:00", "2030-01-01T00:00:00Z"},
		{"2030-01-01", "2030-01-01T00:00:00Z"},
		{"0", "2026-03-01T12:00:00Z"},
		{"0s", "2026-03-01T12:00:00Z"},
		{"90m", "2026-03-01T13:30:00Z"},
		{"1d", "2026-03-02T12:00:00Z"},
		{"1d12h", "2026-03-03T00:00:00Z"},
		{"90d", "2026-05-30T12:00:00Z"},
		{"0d", "2026-03-01T12:00:00Z"},
		{"100000d", "2299-12-15T12:00:00Z"},
	} {
		got, err := pointInTime("x", test.value, now)
		if err != nil || got.UTC().Format(time.RFC3339) != test.want {
			t.Errorf("%q: got %v, %v, want %s", test.value, got, err, test.want)
		}
	}
}

func TestInvalidTimesAreRefused(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"", "d", "-1h", "-1d", "1d-1h", "12hd", "1 d", "1d1d", "+1d", "100001d", "18446744073709551616d", "100000d2562047h",
		"tomorrow", "2030", "1893456000", "2030-13-01", "2030-01-01 10:00", "30", "1w", "NaNd",
	} {
		if got, err := pointInTime("x", value, time.Now()); err == nil {
			t.Errorf("%q: got %s, want an error", value, got)
		}
	}
}

func TestAGraceIsRoundedUpToWholeSeconds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC)
	for value, want := range map[string]int64{
		"0s": 0, "1h": 3600, "1500ms": 2, "2026-03-01T12:00:10Z": 10, "2026-03-02": 12 * 3600, "2999-01-01": 30_699_777_600,
	} {
		if got, err := until("grace", value, now); err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", value, got, err, want)
		}
	}
	if got, err := until("grace", "2026-03-01T12:00:00Z", now); err == nil {
		t.Errorf("a time in the past: got %d, want an error", got)
	}
}
