package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/vault-authz/vault-authz/internal/api"
)

// explain adds to an error of the admin API what to do about it.
func (s *session) explain(err error) error {
	var exit exitError
	var named missingError
	if err == nil || errors.As(err, &exit) || errors.As(err, &named) {
		return err
	}
	var problem *api.Problem
	if errors.As(err, &problem) {
		message := printable(problem.Text())
		if hint := hintFor(problem); hint != "" {
			message += "; " + hint
		}
		return fmt.Errorf("the admin API answers %d: %s", problem.Status, message)
	}
	var certificate *tls.CertificateVerificationError
	var network *net.OpError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.Is(err, errHTTP2):
		return fmt.Errorf("%w; is it the address that Envoy asks (listen.grpc)? The admin API has one of its own (admin.listen)", err)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &noTLS):
		return fmt.Errorf("%w; this address speaks no TLS: write http:// in --admin, and check that it is the address of the admin API", err)
	case errors.Is(err, context.Canceled):
		return errors.New("interrupted; the service may have done it anyway: look before you repeat it")
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w; the service may have done it anyway: look, and try again with a longer --timeout", err)
	case errors.As(err, &certificate):
		return fmt.Errorf("%w; name its authority with --ca-file", err)
	case errors.As(err, &network) && network.Op == "remote error":
		return fmt.Errorf("%w; the admin API wants a client certificate of its authorities: give one with --cert-file and --key-file", err)
	case errors.As(err, &network) && network.Op == "dial":
		return fmt.Errorf("%w; is vault-authz running there? See --admin", err)
	}
	return err
}

func hintFor(problem *api.Problem) string {
	switch problem.Status {
	case http.StatusUnauthorized:
		return "give the bearer token with --" + adminTokenFlag + " or " + tokenVariable + ", or a client certificate with --cert-file"
	case http.StatusNotFound:
		return "is the URL that of the admin API of vault-authz?"
	case http.StatusConflict:
		if problem.Fields["previous_expires_at"] != nil {
			return "wait, or give --force"
		}
		return ""
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if problem.Cause != "" {
			return ""
		}
		return "try again; the service logs the cause"
	case http.StatusInternalServerError:
		return "the service logs the cause"
	default:
		return ""
	}
}

// missing replaces an answer 404 by what was not found and where to look; it returns other
// errors as they are.
func missing(err error, list, format string, args ...any) error {
	if !isNotFound(err) {
		return err
	}
	return missingError{fmt.Sprintf(format, args...) + "; see vault-authz " + list, err}
}

// A missingError says what was not found.
type missingError struct {
	message string
	cause   error
}

func (e missingError) Error() string { return e.message }
func (e missingError) Unwrap() error { return e.cause }

func isNotFound(err error) bool {
	var problem *api.Problem
	return errors.As(err, &problem) && problem.Status == http.StatusNotFound && !problem.Foreign
}
