package debugging

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// A Level is the level of the log, which can be another one for a while. It is safe for
// concurrent use.
type Level struct {
	current, configured zap.AtomicLevel
	audit               Audit

	mu    sync.Mutex
	until time.Time
	back  *time.Timer
}

// An Audit writes a line of the audit log.
type Audit func(ctx context.Context, level zapcore.Level, message string, fields ...zapcore.Field) error

// NewLevel returns the level of the log that has current as its level. It returns to what configured
// is then.
func NewLevel(current, configured zap.AtomicLevel, audit Audit) *Level {
	return &Level{current: current, configured: configured, audit: audit}
}

const (
	defaultSpan = 10 * time.Minute
	maxSpan     = 24 * time.Hour
)

// put sets the level for a while.
func (l *Level) put(w http.ResponseWriter, r *http.Request) {
	wanted := r.URL.Query().Get("level")
	level, err := zapcore.ParseLevel(wanted)
	if err != nil || level > zapcore.ErrorLevel || wanted == "" {
		http.Error(w, "level is none of debug, info, warn, error, as in PUT /debug/log-level?level=debug&for=10m", http.StatusBadRequest)
		return
	}
	span := defaultSpan
	if text := r.URL.Query().Get("for"); text != "" {
		if span, err = time.ParseDuration(text); err != nil || span <= 0 || span > maxSpan {
			http.Error(w, "for is no duration of up to 24h, such as 10m", http.StatusBadRequest)
			return
		}
	}
	// What is not in the audit log does not happen.
	err = l.audit(r.Context(), zapcore.InfoLevel, "log level changed", zap.Stringer("log_level", level), zap.Stringer("configured", l.configured.Level()),
		zap.Stringer("for", span), zap.String("client", r.RemoteAddr), zap.String("certificate", certificate(r)))
	if err != nil {
		http.Error(w, "The audit record cannot be written, so the level stays; look at the log of the service", http.StatusServiceUnavailable)
		return
	}
	l.set(context.WithoutCancel(r.Context()), level, span)
	l.show(w, r)
}

// set sets the level, and the configured one after span.
func (l *Level) set(ctx context.Context, level zapcore.Level, span time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.back != nil {
		l.back.Stop()
	}
	l.current.SetLevel(level)
	l.until = time.Now().Add(span)
	var mine *time.Timer
	mine = time.AfterFunc(span, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.back != mine {
			return // another one was set at the last moment
		}
		l.current.SetLevel(l.configured.Level())
		l.until, l.back = time.Time{}, nil
		_ = l.audit(ctx, zapcore.InfoLevel, "log level is the configured one again", zap.Stringer("log_level", l.configured.Level()))
	})
	l.back = mine
}

// show tells the level.
func (l *Level) show(w http.ResponseWriter, _ *http.Request) {
	l.mu.Lock()
	level, until := l.current.Level(), l.until
	l.mu.Unlock()
	if until.IsZero() {
		fmt.Fprintf(w, "%s (as configured)\n", level)
		return
	}
	fmt.Fprintf(w, "%s until %s, then %s\n", level, until.UTC().Format(time.RFC3339), l.configured)
}

// certificate returns a name of the client's certificate, which the listener has verified, or "".
func certificate(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return ""
	}
	c := r.TLS.PeerCertificates[0]
	switch {
	case len(c.URIs) > 0:
		return c.URIs[0].String()
	case len(c.DNSNames) > 0:
		return c.DNSNames[0]
	}
	return c.SerialNumber.String()
}
