// Package body reads the body of a request: JSON, or a form in either encoding, as Kong takes
// them. Its errors repeat nothing of what cannot be read: it may hold a secret.
package body
