package authz

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Consumer is the owner of credentials, as in Kong. It is immutable.
type Consumer struct {
	// ID is a lower-case UUID; credential records refer to it.
	ID string
	// Username and CustomID are unique if set. One of them must be set.
	Username, CustomID string
	// Groups are the consumer's ACL groups.
	Groups []string
	Tags   []string
}

// maxFieldLength bounds each field of a consumer that becomes a header value.
const maxFieldLength = 256

// Validate reports every mistake in the consumer.
func (c *Consumer) Validate() error {
	var errs []error
	if !IsUUID(c.ID) {
		errs = append(errs, fmt.Errorf("id: %q is not a lower-case UUID", c.ID))
	}
	if c.Username == "" && c.CustomID == "" {
		errs = append(errs, errors.New("at least one of username and custom_id must be set"))
	}
	errs = append(errs, headerSafe("username", c.Username), headerSafe("custom_id", c.CustomID))
	for _, g := range c.Groups {
		if g == "" {
			errs = append(errs, errors.New("groups: a group has no name"))
		}
		if strings.Contains(g, ",") {
			errs = append(errs, fmt.Errorf("groups: %q contains a comma, which separates groups in the X-Consumer-Groups header", g))
		}
		errs = append(errs, headerSafe("groups", g))
	}
	return errors.Join(errs...)
}

// headerSafe refuses text that must not become a header value: Envoy does not check the
// values that it is given, so a control character would reach the upstream.
func headerSafe(field, value string) error {
	if len(value) > maxFieldLength {
		return fmt.Errorf("%s: longer than %d bytes", field, maxFieldLength)
	}
	if value != strings.Trim(value, " ") {
		return fmt.Errorf("%s: %q begins or ends with a space, which a header loses", field, value)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("%s: %q is not UTF-8", field, value)
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] == 0x7f {
			return fmt.Errorf("%s: %q contains a control character", field, value)
		}
	}
	return nil
}

// IsUUID says whether s is a UUID in the lower-case form with dashes.
func IsUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' &&
		isLowerHex(s[:8]) && isLowerHex(s[9:13]) && isLowerHex(s[14:18]) && isLowerHex(s[19:23]) && isLowerHex(s[24:])
}
