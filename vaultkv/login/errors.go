package login

import (
	"errors"
	"fmt"
)

// A Reason classifies an [Error]. The zero Reason is [Failed].
type Reason uint8

// The reasons.
const (
	// Failed: a fault of this program.
	Failed Reason = iota
	// NoToken: the session has not logged in yet.
	NoToken
	// NoAnswer: the server did not answer in time.
	NoAnswer
	// Interrupted: the caller stopped waiting. The server is not at fault.
	Interrupted
	// Refused: the server refuses the login, or a file that the login needs is
	// missing or wrong.
	Refused
	// Rejected: the server does not accept the token.
	Rejected
	// NotKept: the server accepts the token, but the token cannot be renewed, looked
	// up or revoked.
	NotKept
)

// An Error says why there is no token that the server accepts, or why the token
// cannot be kept alive, and what to do about it.
type Error struct {
	Reason Reason
	// Status is the HTTP status of the answer, 0 if there was no answer.
	Status int

	text string
	// cause is nil or an error of a context.
	cause error
}

// Error implements error.
func (e *Error) Error() string { return e.text }

// Unwrap returns context.Canceled or context.DeadlineExceeded if one of them ended
// the operation, else nil.
func (e *Error) Unwrap() error { return e.cause }

func fail(r Reason, status int, format string, args ...any) *Error {
	return &Error{Reason: r, Status: status, text: fmt.Sprintf(format, args...)}
}

// lasting returns the text of an error without the part that differs each time the
// same error occurs, so that it can be logged once. An error of a [Server] may have
// such a part; its method Detail returns the rest.
func lasting(err error) string {
	var e interface{ Detail() string }
	if errors.As(err, &e) {
		return e.Detail()
	}
	return err.Error()
}
