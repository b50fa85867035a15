package debugging

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/vault-authz/vault-authz/internal/clientcert"
	"github.com/vault-authz/vault-authz/internal/logging"
)

// A levelHandler shows the level of the log and sets it for a while.
type levelHandler struct {
	level *logging.Level
	audit Audit
}

// An Audit writes a line of the audit log.
type Audit func(ctx context.Context, level zapcore.Level, message string, fields ...zapcore.Field) error

const (
	defaultSpan = 10 * time.Minute
	maxSpan     = 24 * time.Hour
)

// put sets the level for a while.
func (h levelHandler) put(w http.ResponseWriter, r *http.Request) {
	wanted := r.URL.Query().Get("level")
	level, err := zapcore.ParseLevel(wanted)
	if err != nil || level > zapcore.ErrorLevel || wanted == "" {
		http.Error(w, "level is not one of debug, info, warn, error, as in PUT /debug/log-level?level=debug&for=10m", http.StatusBadRequest)
		return
	}
	span := defaultSpan
	if text := r.URL.Query().Get("for"); text != "" {
		if span, err = time.ParseDuration(text); err != nil || span <= 0 || span > maxSpan {
			http.Error(w, "for must be a duration of up to 24h, such as 10m", http.StatusBadRequest)
			return
		}
	}
	_, configured, _ := h.level.State()
	// What is not in the audit log does not happen.
	err = h.audit(r.Context(), zapcore.InfoLevel, "log level changed", zap.Stringer("log_level", level), zap.Stringer("configured", configured),
		zap.Stringer("for", span), zap.String("client", r.RemoteAddr), zap.String("certificate", certificate(r)))
	if err != nil {
		http.Error(w, "The audit record cannot be written, so the level stays; look at the log of the service", http.StatusServiceUnavailable)
		return
	}
	ctx := context.WithoutCancel(r.Context())
	h.level.SetFor(level, span, func(configured zapcore.Level) {
		_ = h.audit(ctx, zapcore.InfoLevel, "log level is the configured one again", zap.Stringer("log_level", configured))
	})
	h.show(w, r)
}

// show tells the level.
func (h levelHandler) show(w http.ResponseWriter, _ *http.Request) {
	level, configured, until := h.level.State()
	if until.IsZero() {
		fmt.Fprintf(w, "%s (as configured)\n", level)
		return
	}
	fmt.Fprintf(w, "%s until %s, then %s\n", level, until.UTC().Format(time.RFC3339), configured)
}

// certificate returns a name of the client's certificate, which the listener has verified, or "".
func certificate(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	return clientcert.Identity(r.TLS.PeerCertificates[0])
}
