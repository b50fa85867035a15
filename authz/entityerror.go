package authz

import "fmt"

// An EntityError is what is wrong with one entity of a list.
type EntityError struct {
	// List is the list as settings name it: policies or consumers.
	List string
	// Index is the place in it, and Name is for people.
	Index int
	Name  string
	Err   error
}

// Error implements error.
func (e *EntityError) Error() string {
	return fmt.Sprintf("%s[%d] %q: %v", e.List, e.Index, e.Name, e.Err)
}

// Unwrap returns what is wrong.
func (e *EntityError) Unwrap() error { return e.Err }
