package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// name is the name of the instrumentation, and that of the service unless OTEL_SERVICE_NAME or
// OTEL_RESOURCE_ATTRIBUTES gives another.
const name = "vault-authz"

// Traces records and exports spans. A nil *Traces is off. It is safe for concurrent use.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	exporter *exporter
}

// New returns the Traces that the environment asks for: nil, unless it names an exporter or an
// endpoint. It must be shut down.
func New(ctx context.Context, version string, log *zap.Logger) (*Traces, error) {
	on, err := enabled()
	if !on || err != nil {
		return nil, err
	}
	logProblemsOf(log)
	protocol := cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	var to sdktrace.SpanExporter
	switch protocol {
	case "grpc":
		to, err = otlptracegrpc.New(ctx)
	case "http/protobuf":
		to, err = otlptracehttp.New(ctx)
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL: %q is not supported; give grpc or http/protobuf", protocol)
	}
	if err != nil {
		return nil, errors.New("traces: the exporter cannot be made from the OTEL_EXPORTER_OTLP_* variables; check the endpoint, the certificates and the headers")
	}
	// Its error is about OTEL_RESOURCE_ATTRIBUTES, and NewTracerProvider reports it.
	of, _ := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", name), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	log.Info("exporting traces", zap.String("protocol", protocol))
	return newTraces(ctx, to, log, sdktrace.WithResource(of)), nil
}

func newTraces(ctx context.Context, to sdktrace.SpanExporter, log *zap.Logger, options ...sdktrace.TracerProviderOption) *Traces {
	e := newExporter(ctx, to, log)
	provider := sdktrace.NewTracerProvider(append(options, sdktrace.WithBatcher(e))...)
	return &Traces{provider: provider, tracer: provider.Tracer(name), exporter: e}
}

// enabled says whether the environment asks for traces. The standard exports to localhost where
// it says nothing; a service that is not told where to export to exports nothing here.
func enabled() (bool, error) {
	if off, err := strconv.ParseBool(os.Getenv("OTEL_SDK_DISABLED")); err == nil && off {
		return false, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "":
		return cmp.Or(os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")) != "", nil
	case "otlp":
		return true, nil
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is not supported; give otlp or none", exporter)
	}
}

// Shutdown exports what has been recorded, within the limit, also if ctx has ended. It drops the
// rest.
func (t *Traces) Shutdown(ctx context.Context, limit time.Duration) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	defer context.AfterFunc(ctx, t.exporter.stop)()
	_ = t.provider.Shutdown(ctx) // the exporter logs what it cannot export
}
