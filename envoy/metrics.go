package envoy

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// callCounter counts the gRPC calls of Envoy. It stands in for a stats handler of grpc-go,
// which would allocate for each call. It is safe for concurrent use.
type callCounter struct {
	began atomic.Uint64
	ended [codes.Unauthenticated + 1]atomic.Uint64

	inFlight, calls *prometheus.Desc
}

func newCallCounter() *callCounter {
	return &callCounter{
		inFlight: prometheus.NewDesc("vault_authz_grpc_calls_in_flight", "Check calls of Envoy that are being answered.", nil, nil),
		calls:    prometheus.NewDesc("vault_authz_grpc_calls_total", "Check calls of Envoy that ended, by gRPC code. A denial is OK; Canceled and DeadlineExceeded are calls that Envoy gave up.", []string{"code"}, nil),
	}
}

func (c *callCounter) begin() { c.began.Add(1) }

func (c *callCounter) end(ctx context.Context, err error) {
	code := codes.OK
	switch {
	case err != nil:
		code = status.Code(err)
	case ctx.Err() != nil:
		code = status.FromContextError(ctx.Err()).Code()
	}
	if code >= codes.Code(len(c.ended)) {
		code = codes.Unknown
	}
	c.ended[code].Add(1)
}

// Describe implements [prometheus.Collector].
func (c *callCounter) Describe(out chan<- *prometheus.Desc) {
	out <- c.inFlight
	out <- c.calls
}

// Collect implements [prometheus.Collector].
func (c *callCounter) Collect(out chan<- prometheus.Metric) {
	ended := uint64(0)
	for code := range codes.Code(len(c.ended)) {
		n := c.ended[code].Load()
		ended += n
		if n > 0 || expectedCode(code) {
			out <- prometheus.MustNewConstMetric(c.calls, prometheus.CounterValue, float64(n), code.String())
		}
	}
	// What ended is read first, so that it is never more than what began.
	out <- prometheus.MustNewConstMetric(c.inFlight, prometheus.GaugeValue, float64(c.began.Load()-ended))
}

// expectedCode says whether there is a series before there was such a call.
func expectedCode(code codes.Code) bool {
	switch code {
	case codes.OK, codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return true
	default:
		return false
	}
}
