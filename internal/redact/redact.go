// Package redact holds secrets in clear text that must not be printed.
package redact

import (
	"fmt"
	"io"
)

// Text stands for a secret wherever it is printed or encoded.
const Text = "[redacted]"

// A String is a secret in clear text that prints and encodes as [Text]. The zero String
// is empty.
type String struct{ secret string }

// New returns a String with the secret.
func New(secret string) String { return String{secret} }

// Reveal returns the secret.
func (s String) Reveal() string { return s.secret }

// Format hides the secret from every verb of package fmt.
func (String) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Text) }

// MarshalText hides the secret from encoders, including JSON and log fields.
func (String) MarshalText() ([]byte, error) { return []byte(Text), nil }
