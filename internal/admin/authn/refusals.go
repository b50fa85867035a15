package authn

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/vault-authz/vault-authz/internal/api"
)

// A cause is the reason for refusing a call, or its connection, before it has any
// effect.
type cause string

const (
	causeHost        cause = "host"
	causeOrigin      cause = "origin"
	causeTLS         cause = "tls"
	causeCertificate cause = "certificate"
	causeToken       cause = "token"
	causeRole        cause = "role"
)

// A refusal is the answer to such a call, with the additional fields of its log line.
type refusal struct {
	cause   cause
	problem *api.Problem
	fields  []zap.Field
}

func refuse(c cause, status int, message string, fields ...zap.Field) *refusal {
	return &refusal{c, &api.Problem{Status: status, Message: message}, fields}
}

// refusals counts refused calls and logs them up to a rate, so that their callers cannot
// fill the log.
type refusals struct {
	log   *zap.Logger
	count *prometheus.CounterVec
	lines *rate.Limiter
	// suppressed counts the lines left out since the last one.
	suppressed atomic.Uint64
}

// refusalLines is the number of lines per second, with a burst of ten seconds.
const refusalLines = 1

func newRefusals(log *zap.Logger, reg prometheus.Registerer) (*refusals, error) {
	r := &refusals{log: log, lines: rate.NewLimiter(refusalLines, 10*refusalLines), count: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vault_authz_admin_refused_calls_total",
		Help: "Calls of the admin API refused before anything was done, by cause: host, origin, tls (no handshake), certificate, token, role.",
	}, []string{"cause"})}
	for _, c := range []cause{causeHost, causeOrigin, causeTLS, causeCertificate, causeToken, causeRole} {
		r.count.WithLabelValues(string(c))
	}
	return r, reg.Register(r.count)
}

// maxProblem bounds the text of a client in a line.
const maxProblem = 256

func (r *refusals) note(c cause, from, problem string, fields ...zap.Field) {
	r.count.WithLabelValues(string(c)).Inc()
	problem = problem[:min(len(problem), maxProblem)]
	r.line("admin call refused", append(fields, zap.String("cause", string(c)), zap.String("from", from), zap.String("problem", problem))...)
}

func (r *refusals) line(message string, fields ...zap.Field) {
	if !r.lines.AllowN(time.Now(), 1) {
		r.suppressed.Add(1)
		return
	}
	if n := r.suppressed.Swap(0); n > 0 {
		fields = append(fields, zap.Uint64("suppressed", n))
	}
	r.log.Warn(message, fields...)
}

// Write implements [io.Writer] for the log of net/http, which writes a line at a time.
// Only that log tells of a client without a certificate of the right authority.
func (r *refusals) Write(raw []byte) (int, error) {
	text := strings.TrimSpace(string(raw))
	of, isHandshake := strings.CutPrefix(text, "http: TLS handshake error from ")
	from, problem, _ := strings.Cut(of, ": ")
	switch {
	case !isHandshake:
		r.line("admin server", zap.String("problem", text))
	case problem == "EOF":
		// A load balancer has probed the port.
	default:
		r.note(causeTLS, from, problem)
	}
	return len(raw), nil
}
