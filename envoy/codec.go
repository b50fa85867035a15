package envoy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

// codec is the protobuf codec of the server. Check requests and their answers it
// reads and writes itself, all else as usual. It never fails a check request:
// one that is too large, or that does not decode, becomes an empty request,
// which is denied. A failed call would leave the decision to the gateway's
// failure_mode_allow, and the client would have a hand in it.
type codec struct {
	encoding.CodecV2
	maxBytes int
	tooLarge prometheus.Counter
	// refused is indexed by what was wrong.
	refused [decoded]prometheus.Counter
}

// NewCodec returns a codec that accepts check requests of up to maxBytes bytes
// and counts those it does not.
func NewCodec(maxBytes int, reg prometheus.Registerer) encoding.CodecV2 {
	refused := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "vault_authz_refused_messages_total",
		Help: "Check requests that were denied unread: too_large (raise grpc.max_request_bytes above Envoy's max_request_bytes), too_many_fields (more than 4096 headers), or undecodable.",
	}, []string{"cause"})
	return &codec{
		CodecV2:  encoding.GetCodecV2(proto.Name),
		maxBytes: maxBytes,
		tooLarge: refused.WithLabelValues("too_large"),
		refused: [decoded]prometheus.Counter{
			undecodable:   refused.WithLabelValues("undecodable"),
			tooManyFields: refused.WithLabelValues("too_many_fields"),
		},
	}
}

// Unmarshal implements [encoding.CodecV2].
func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	check, ok := v.(*call)
	switch {
	case !ok:
		return c.CodecV2.Unmarshal(data, v)
	case data.Len() > c.maxBytes:
		c.tooLarge.Inc()
	default:
		if result := check.decode(data); result != decoded {
			c.refused[result].Inc()
		}
	}
	return nil
}

// Marshal implements [encoding.CodecV2].
func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *reply:
		return v.take(), nil
	case *call:
		return lastResort(), nil
	}
	return c.CodecV2.Marshal(v)
}
