package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/vault-authz/vault-authz/internal/tlsfiles"
)

// Handshakes counts failed TLS handshakes and logs some of them: a client must not be able
// to fill the log.
type Handshakes struct {
	log     *zap.Logger
	refused *prometheus.CounterVec
}

// NewHandshakes registers the counter, with 0 for each of the listeners.
func NewHandshakes(log *zap.Logger, reg prometheus.Registerer, listeners ...string) (*Handshakes, error) {
	h := &Handshakes{
		// One line a second. The counter includes the others.
		log: log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(core, time.Second, 1, 0)
		})),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vault_authz_tls_refused_handshakes_total",
			Help: "TLS handshakes that failed, by listener.",
		}, []string{"listener"}),
	}
	for _, l := range listeners {
		h.refused.WithLabelValues(l)
	}
	return h, reg.Register(h.refused)
}

// maxProblem is the limit of the text in a line that a client influences.
const maxProblem = 256

func (h *Handshakes) note(listener, from, problem string) {
	if problem == "EOF" {
		return // a load balancer has only checked that the port is open
	}
	h.refused.WithLabelValues(listener).Inc()
	h.log.Warn("TLS handshake refused", zap.String("listener", listener), zap.String("from", from), zap.String("problem", problem[:min(len(problem), maxProblem)]))
}

// GRPC returns the option for a gRPC server that accepts only TLS.
func (h *Handshakes) GRPC(listener string, s *tlsfiles.Server) grpc.ServerOption {
	return grpc.Creds(watchedCredentials{credentials.NewTLS(s.Config("h2")), func(from net.Addr, err error) {
		h.note(listener, from.String(), err.Error())
	}})
}

type watchedCredentials struct {
	credentials.TransportCredentials
	refused func(from net.Addr, err error)
}

// ServerHandshake implements [credentials.TransportCredentials].
func (c watchedCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		c.refused(raw.RemoteAddr(), err)
	}
	return conn, info, err
}

// Log returns the log for an HTTP server. Only this log shows a client without a certificate
// or with a certificate of another authority.
func (h *Handshakes) Log(listener string) io.Writer { return httpLog{h, listener} }

type httpLog struct {
	*Handshakes
	listener string
}

// Write implements [io.Writer] for the log of net/http, which writes single lines.
func (l httpLog) Write(raw []byte) (int, error) {
	text := strings.TrimSpace(string(raw))
	if of, is := strings.CutPrefix(text, "http: TLS handshake error from "); is {
		from, problem, _ := strings.Cut(of, ": ")
		l.note(l.listener, from, problem)
	} else {
		l.log.Warn("the HTTP server reports a problem", zap.String("listener", l.listener), zap.String("problem", text[:min(len(text), maxProblem)]))
	}
	return len(raw), nil
}

// OverTLS returns ln with TLS, and makes srv refuse what TLS does not accept any more. With nil it
// returns ln as it is.
func OverTLS(ln net.Listener, s *tlsfiles.Server, srv *http.Server) net.Listener {
	if s == nil {
		return ln
	}
	srv.Handler = trusting(s, srv.Handler)
	return tls.NewListener(ln, s.Config("h2", "http/1.1"))
}

// trusting refuses calls on a connection whose client certificate is no longer accepted: an
// HTTP connection may be used for longer than a certificate or an authority is valid.
func trusting(s *tlsfiles.Server, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.Trusts(r.TLS); err != nil {
			w.Header().Set("Connection", "close")
			http.Error(w, "The client certificate of this connection is no longer accepted; connect again", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}
