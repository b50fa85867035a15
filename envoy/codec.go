package envoy

import (
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/vault-authz/vault-authz/authz"
)

// codec is the protobuf codec of the server. It never fails a check request:
// one that is too large, or that does not decode, becomes an empty request,
// which is denied. A failed call would leave the decision to the gateway's
// failure_mode_allow, and the client would have a hand in it.
type codec struct {
	encoding.CodecV2
	maxBytes              int
	tooLarge, undecodable prometheus.Counter
}

// NewCodec returns a codec that accepts check requests of up to maxBytes bytes
// and counts those it does not.
func NewCodec(maxBytes int, reg prometheus.Registerer) encoding.CodecV2 {
	refused := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "vault_authz_refused_messages_total",
		Help: "Check requests that were denied unread: too_large (raise grpc.max_request_bytes above Envoy's max_request_bytes), or undecodable.",
	}, []string{"cause"})
	return &codec{
		CodecV2:     encoding.GetCodecV2(proto.Name),
		maxBytes:    maxBytes,
		tooLarge:    refused.WithLabelValues("too_large"),
		undecodable: refused.WithLabelValues("undecodable"),
	}
}

// Unmarshal implements [encoding.CodecV2].
func (c *codec) Unmarshal(data mem.BufferSlice, v any) error {
	request, ok := v.(*authv3.CheckRequest)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if data.Len() > c.maxBytes {
		c.tooLarge.Inc()
		request.Reset()
		return nil
	}
	if err := c.CodecV2.Unmarshal(data, request); err != nil {
		c.undecodable.Inc()
		request.Reset()
	}
	return nil
}

// Marshal implements [encoding.CodecV2]. An answer that cannot be encoded
// becomes a denial: it must not become a failed call.
func (c *codec) Marshal(v any) (mem.BufferSlice, error) {
	data, err := c.CodecV2.Marshal(v)
	if _, ok := v.(*authv3.CheckResponse); err != nil && ok {
		return c.CodecV2.Marshal(denied(&authz.Request{}, &authz.Decision{Reason: authz.ReasonInternal}))
	}
	return data, err
}
