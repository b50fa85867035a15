package authz

import "fmt"

// An EntityError is a mistake in one entity of a list.
type EntityError struct {
	// List is the list's name in the configuration: policies or consumers.
	List string
	// Index is the place in the list. Name is only for people.
	Index int
	Name  string
	Err   error
}

// Error implements error.
func (e *EntityError) Error() string {
	return fmt.Sprintf("%s[%d] %q: %v", e.List, e.Index, e.Name, e.Err)
}

// Unwrap returns Err.
func (e *EntityError) Unwrap() error { return e.Err }
