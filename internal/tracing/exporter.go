package tracing

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// An exporter logs the errors of another one, at most one a minute, and can be stopped. The
// batches of spans are exported one after another.
type exporter struct {
	sdktrace.SpanExporter
	log     *zap.Logger
	due     *rate.Limiter
	dropped int
	// stopped is done when nothing may be exported any more.
	stopped context.Context
	stop    context.CancelFunc
}

const problemInterval = time.Minute

func newExporter(ctx context.Context, to sdktrace.SpanExporter, log *zap.Logger) *exporter {
	e := &exporter{SpanExporter: to, log: log, due: rate.NewLimiter(rate.Every(problemInterval), 1)}
	e.stopped, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	return e
}

// ExportSpans implements [sdktrace.SpanExporter]. It returns no error: the SDK would log it.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.stopped, cancel)() //nolint:contextcheck // it ends the export
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.dropped += len(spans)
		if e.due.Allow() {
			e.log.Warn("spans could not be exported; is OTEL_EXPORTER_OTLP_ENDPOINT right, and does the collector run?",
				zap.Int("spans", e.dropped), zap.String("error", clip(err.Error())))
			e.dropped = 0
		}
	}
	return nil
}

// maxProblem is the maximum length of an error in the log. An error may quote the answer of
// the collector.
const maxProblem = 256

func clip(text string) string { return text[:min(len(text), maxProblem)] }

// logProblemsOf makes the OpenTelemetry library log its problems to log. It has one logger for
// the whole process, which prints to stderr by default, and also the values of headers.
func logProblemsOf(log *zap.Logger) {
	otel.SetLogger(logr.New(problems{log}))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("problem with traces", zap.String("error", clip(err.Error()))) }))
}

// problems logs the message of a problem, without its values.
type problems struct{ log *zap.Logger }

// Init implements [logr.LogSink].
func (problems) Init(logr.RuntimeInfo) {}

// Enabled implements [logr.LogSink]. The library has warnings at level 1.
func (problems) Enabled(level int) bool { return level <= 1 }

// Info implements [logr.LogSink].
func (p problems) Info(_ int, message string, _ ...any) {
	p.log.Warn("problem with traces", zap.String("problem", message))
}

// Error implements [logr.LogSink]. The error may quote the value that cannot be read.
func (p problems) Error(_ error, message string, _ ...any) {
	p.log.Warn("problem with traces; check the OTEL_* variables", zap.String("problem", message))
}

// WithValues implements [logr.LogSink].
func (p problems) WithValues(...any) logr.LogSink { return p }

// WithName implements [logr.LogSink].
func (p problems) WithName(string) logr.LogSink { return p }
