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

// An Error is why a vault object could not answer. Its text says what happened
// and what to do, in words of this package's own: it holds no token, no key and
// no path below the mount.
type Error struct {
	// State is what the failure says of the vault object.
	State State
	// Status is the HTTP status of the answer, 0 where there was none.
	Status int

	detail string
	// kind is the same for details that only differ in numbers and names.
	kind string
	// moment is what belongs to this one occurrence, behind detail.
	moment string
	// cause is only ever an error of a context.
	cause error
	// aside marks a failure that is no news of the server: it does not change
	// the state.
	aside bool
}

// Error implements error.
func (e *Error) Error() string { return e.detail + e.moment }

// Unwrap returns context.Canceled or context.DeadlineExceeded where one of them
// ended the operation, else nil.
func (e *Error) Unwrap() error { return e.cause }

// Detail is the text without the part that differs each time the same failure
// occurs.
func (e *Error) Detail() string { return e.detail }

func fail(s State, status int, format string, args ...any) *Error {
	return &Error{State: s, Status: status, detail: fmt.Sprintf(format, args...), kind: format}
}

// reason tells apart what there is to do about a failure. Where a server, or the
// way to it, fails, one cause shows in many ways; elsewhere each detail is a
// thing to mend.
func (e *Error) reason() string {
	if e.State == StateUnreachable || e.State == StateFailing {
		return e.kind
	}
	return e.detail
}

// errTooLarge ends the reading of an answer that is longer than allowed.
var errTooLarge = errors.New("answer too large")

// transportError explains why there was no answer. Nothing of err's own text is
// used except where its type holds no URL.
func (v *Vault) transportError(ctx context.Context, err error) *Error {
	where := v.cfg.Address
	var at *endpointError
	if errors.As(err, &at) {
		where = at.endpoint.text
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return &Error{State: StateUnreachable, detail: "the lookup was cancelled", cause: context.Canceled, aside: true}
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return &Error{
			State:  StateUnreachable,
			detail: fmt.Sprintf("no answer from %s within %s; check the server's load and the network to it", where, v.cfg.Timeout),
			kind:   "no answer in time",
			cause:  context.DeadlineExceeded,
		}
	case errors.Is(err, errTooLarge):
		return fail(StateFailing, 0, "the answer is longer than %d bytes, far more than a credential has; look at the record", v.cfg.MaxResponseBytes)
	}
	if errors.Is(err, errBehind) {
		return fail(StateFailing, 0, "the node at %s answered from a state that is older than its cluster's; it may have been stopped for a while", where)
	}
	if problem := v.tlsProblem(where, err); problem != nil {
		return problem
	}
	hint := ""
	if strings.HasPrefix(where, "https://") && v.cfg.ClientCertFile == "" {
		// In TLS 1.3 it says so when we have sent the request already, and that
		// word may be lost on a connection that it has closed.
		hint = "; if the server wants a client certificate, set client_cert_file and client_key_file"
	}
	if v.cfg.Proxy != "" {
		where += " (through the proxy " + v.cfg.Proxy + ")"
	}
	return networkProblem(where, hint, err)
}

// networkProblem explains an error of the network. hint is for connections that
// came about and then failed.
func networkProblem(where, hint string, err error) *Error {
	var (
		op  *net.OpError
		dns *net.DNSError
	)
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return fail(StateUnreachable, 0, "DNS knows no host %q, of %s; check address and DNS", dns.Name, where)
	case errors.As(err, &dns):
		return fail(StateUnreachable, 0, "the host %q of %s does not resolve now: DNS does not answer or fails; check DNS", dns.Name, where)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fail(StateUnreachable, 0, "%s refuses the connection; check that the server runs and listens there", where)
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EACCES):
		return fail(StateUnreachable, 0, "there is no socket that we may use at %s; check that the server runs, and the socket's path and permissions", where)
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
