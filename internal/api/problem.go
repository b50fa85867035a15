package api

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

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

// Transient reports whether a call that failed may succeed if it is repeated: the service, or
// the Vault that it uses, is down or overloaded.
func Transient(err error) bool {
	var p *Problem
	if errors.As(err, &p) {
		switch p.Status {
		case http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var network *net.OpError
	var slow net.Error
	return errors.As(err, &network) || errors.As(err, &slow) && slow.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
