package api

import "fmt"

// A Problem is an answer that is not a success, in Kong's shape. It is the error
// of the [Client], too.
type Problem struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code and Name are Kong's, for mistakes in the request.
	Code int    `json:"code,omitempty"`
	Name string `json:"name,omitempty"`
	// Message is for people.
	Message string `json:"message"`
	// Fields says what is wrong with which field.
	Fields map[string]any `json:"fields,omitempty"`
	// Cause says why a store is unavailable, where that is known.
	Cause string `json:"cause,omitempty"`
	// Foreign says that the answer is not one of this API: another program listens at the
	// URL, or a proxy answered. Only the [Client] sets it.
	Foreign bool `json:"-"`
	// Allow lists the methods for a 405. Only the service sets it.
	Allow string `json:"-"`
}

// Error implements error.
func (p *Problem) Error() string { return fmt.Sprintf("%d: %s", p.Status, p.Message) }
