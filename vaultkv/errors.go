package vaultkv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
)

// An Error says why a vault object could not answer, and what to do about it. This
// package writes the whole text; it contains no token, no key and no path below the
// mount.
type Error struct {
	// State is the state of the vault object that the failure shows.
	State State

	// status is the HTTP status of the answer, 0 if there was no answer.
	status int
	detail string
	// kind is the same for details that differ in numbers and names only.
	kind string
	// moment is the part of the text, after detail, that differs at each occurrence.
	moment string
	// cause is nil or an error of a context.
	cause error
	// inconclusive marks a failure that says nothing about the server. It does not
	// change the state.
	inconclusive bool
}

// Error implements error.
func (e *Error) Error() string { return e.detail + e.moment }

// Unwrap returns context.Canceled or context.DeadlineExceeded if one of them ended the
// operation, else nil.
func (e *Error) Unwrap() error { return e.cause }

// Detail is the text without the part that differs each time the same failure
// occurs.
func (e *Error) Detail() string { return e.detail }

func fail(s State, status int, format string, args ...any) *Error {
	return &Error{State: s, status: status, detail: fmt.Sprintf(format, args...), kind: format}
}

// reason is the same for failures that ask for the same action. One cause of a failing
// server or network shows in many details; in all other states each detail asks for an
// action of its own.
func (e *Error) reason() string {
	if e.State == StateUnreachable || e.State == StateFailing {
		return e.kind
	}
	return e.detail
}

// errTooLarge is the error of an answer that is longer than allowed.
var errTooLarge = errors.New("answer too large")

// transportError explains why there was no answer. It uses the text of err only where
// the type of err contains no URL.
func (v *Vault) transportError(ctx context.Context, err error) *Error {
	where := v.cfg.Address
	var at *endpointError
	if errors.As(err, &at) {
		where = at.endpoint.text
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{State: StateUnreachable, detail: "the lookup was cancelled", cause: context.Canceled, inconclusive: true}
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return &Error{
			State:  StateUnreachable,
			detail: fmt.Sprintf("no answer from %s within %s; check the server's load and the network to it", where, v.cfg.Timeout),
			kind:   "no answer in time",
			cause:  context.DeadlineExceeded,
		}
	case errors.Is(err, errTooLarge):
		return fail(StateFailing, 0, "the answer is longer than %d bytes, far more than a credential needs; check the record", maxAnswerBytes)
	}
	if errors.Is(err, errBehind) {
		return fail(StateFailing, 0, "the node at %s answered from a state that is older than its cluster's; it may have been stopped for a while", where)
	}
	if problem := v.tlsProblem(where, err); problem != nil {
		return problem
	}
	hint := ""
	if strings.HasPrefix(where, "https://") && v.cfg.ClientCertFile == "" {
		// In TLS 1.3 the server says so after we have sent the request, and the message
		// may be lost when the server closes the connection.
		hint = "; if the server wants a client certificate, set client_cert_file and client_key_file"
	}
	if v.cfg.Proxy != "" {
		where += " (through the proxy " + v.cfg.Proxy + ")"
	}
	return networkProblem(where, hint, err)
}

// networkProblem explains an error of the network. hint is added for connections that
// were established and then failed.
func networkProblem(where, hint string, err error) *Error {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fail(StateUnreachable, 0, "DNS has no host %q, of %s; check address and DNS", dns.Name, where)
	case errors.As(err, &dns):
		return fail(StateUnreachable, 0, "the host %q of %s cannot be resolved now: DNS fails or does not answer; check DNS", dns.Name, where)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(StateUnreachable, 0, "%s refuses the connection; check that the server runs and listens there", where)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EACCES):
		return fail(StateUnreachable, 0, "there is no socket at %s, or we may not use it; check that the server runs, and the path and permissions of the socket", where)
	case errors.As(err, &op) && op.Op == "dial":
		return fail(StateUnreachable, 0, "cannot connect to %s; check address and the network", where)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fail(StateUnreachable, 0, "%s closed the connection before its answer was complete%s", where, hint)
	}
	return fail(StateUnreachable, 0, "the connection to %s failed (%T); check that address is a Vault or OpenBao server%s", where, innermost(err), hint)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
