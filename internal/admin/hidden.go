package admin

import (
	"fmt"
	"io"
)

const masked = "[redacted]"

// A Hidden is a secret in clear that prints and encodes as "[redacted]".
type Hidden struct{ value string }

// Hide wraps a secret.
func Hide(secret string) Hidden { return Hidden{secret} }

// Reveal returns the secret.
func (h Hidden) Reveal() string { return h.value }

// Format hides the secret from every verb.
func (Hidden) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// MarshalText hides the secret from encoders, JSON and log fields among them.
func (Hidden) MarshalText() ([]byte, error) { return []byte(masked), nil }
