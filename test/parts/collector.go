package parts

import (
	"context"
	"encoding/hex"
	"net"
	"slices"
	"sync"

	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonv1 "go.opentelemetry.io/proto/otlp/common/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// A Collector receives spans by OTLP over gRPC. It is safe for concurrent use.
type Collector struct {
	collectorv1.UnimplementedTraceServiceServer
	ln  net.Listener
	srv *grpc.Server

	mu    sync.Mutex
	spans []Span
}

// A Span is a span that was received.
type Span struct {
	// Service is the name of the program.
	Service, Name string
	Kind          tracev1.Span_SpanKind
	// Trace, ID and Parent are in hexadecimal digits. Parent is empty for a root.
	Trace, ID, Parent string
	// Attributes are those that are strings.
	Attributes map[string]string
	// Raw is all of it.
	Raw *tracev1.Span
}

// StartCollector starts a collector on a free loopback port. It must be closed.
func StartCollector(ctx context.Context) (*Collector, error) {
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Collector{ln: ln, srv: grpc.NewServer()}
	collectorv1.RegisterTraceServiceServer(c.srv, c)
	go func() { _ = c.srv.Serve(ln) }()
	return c, nil
}

// Address returns its host:port.
func (c *Collector) Address() string { return c.ln.Addr().String() }

// Close stops it.
func (c *Collector) Close() { c.srv.Stop() }

// Export implements [collectorv1.TraceServiceServer].
func (c *Collector) Export(_ context.Context, in *collectorv1.ExportTraceServiceRequest) (*collectorv1.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range in.GetResourceSpans() {
		service := texts(of.GetResource().GetAttributes())["service.name"]
		for _, scope := range of.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, Span{
					Service: service, Name: s.GetName(), Kind: s.GetKind(),
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Attributes: texts(s.GetAttributes()), Raw: s,
				})
			}
		}
	}
	return &collectorv1.ExportTraceServiceResponse{}, nil
}

// Spans returns the spans so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

func texts(attributes []*commonv1.KeyValue) map[string]string {
	out := map[string]string{}
	for _, a := range attributes {
		out[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return out
}
