package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// timeForms describes the values of flags for a time.
const timeForms = "a time like 2030-01-01T00:00:00Z, a date like 2030-01-01 (its beginning in UTC), or a span from now like 90d or 36h"

// pointInTime parses a time, a date, or a span from now.
func pointInTime(flag, value string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, value); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, value); err == nil {
		return t, nil
	}
	if d, err := span(value); err == nil {
		return now.Add(d), nil
	}
	return time.Time{}, exitError{exitUsage, fmt.Errorf("--%s: %q is not %s", flag, value, timeForms)}
}

// unix is pointInTime in Unix seconds, nil for no value.
func unix(flag, value string) (*int64, error) {
	if value == "" {
		return nil, nil
	}
	t, err := pointInTime(flag, value, time.Now())
	if err != nil {
		return nil, err
	}
	seconds := t.Unix()
	return &seconds, nil
}

// until returns the whole seconds from now to a time, rounded up.
func until(flag, value string, now time.Time) (int64, error) {
	t, err := pointInTime(flag, value, now)
	switch {
	case err != nil:
		return 0, err
	case t.Before(now):
		return 0, exitError{exitUsage, fmt.Errorf("--%s: %s is in the past", flag, value)}
	}
	seconds := t.Unix() - now.Unix()
	if t.Nanosecond() > now.Nanosecond() {
		seconds++
	}
	return seconds, nil
}

// lifetime parses a span of whole seconds, nil for no value.
func lifetime(flag, value string) (*int64, error) {
	if value == "" {
		return nil, nil
	}
	d, err := span(value)
	switch {
	case err != nil:
		return nil, exitError{exitUsage, fmt.Errorf("--%s: %q is not a span like 30s, 15m or 7d", flag, value)}
	case d%time.Second != 0:
		return nil, exitError{exitUsage, fmt.Errorf("--%s: %s is not a number of whole seconds", flag, d)}
	}
	seconds := int64(d / time.Second)
	return &seconds, nil
}

// maxDays is about the longest [time.Duration].
const maxDays = 100_000

var errSpan = errors.New("not a span")

// span parses what [time.ParseDuration] does, with days in front of it.
func span(value string) (time.Duration, error) {
	days, rest, has := strings.Cut(value, "d")
	if !has {
		days, rest = "0", value
	}
	n, err := strconv.ParseUint(days, 10, 32)
	if err != nil || n > maxDays {
		return 0, errSpan
	}
	d := time.Duration(0)
	if rest != "" || !has {
		if d, err = time.ParseDuration(rest); err != nil || d < 0 {
			return 0, errSpan
		}
	}
	if d += time.Duration(n) * 24 * time.Hour; d < 0 {
		return 0, errSpan
	}
	return d, nil
}
